"""Accepting connections, also when the process has no descriptor left for them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay.core.account import ConnectionRefusal
from relay.core.intake import Intake
from relay.core.networks import group_of
from relay.core.streams import Handshake, Stream, StreamFramer
from relay.listeners.handshakes import Handshakes
from relay.listeners.limits import Limits
from relay.listeners.offences import Offences
from relay.system.ports import Acceptor, Connection, ReadySet
from relay.wire.sender import named

log = logging.getLogger("relay.listener")

TURN_CONNECTIONS = 64  # accepted in one turn, so that a storm of connects leaves time for data
DEFER_SECONDS = 1.0  # after EMFILE and its kin; OpenBSD's syslogd waits as long
QUIET_SECONDS = 10.0  # an episode ends when nothing was deferred for this long


@dataclass(slots=True, eq=False, repr=False)
class Acceptance:
    """The accepting half of a stream listener. Deferred acceptors are not in the ready set.

    Who connects while accepting is deferred waits in the kernel. An acceptor that is deferred stays
    here, with the framer and the limits of its listener: no other ever takes its connections. With
    `handshakes` each goes there first, and nobody is accepted before it is known how: `open`.
    """

    acceptors: Sequence[Acceptor]
    intake: Intake
    limits: Limits
    ready_set: ReadySet
    framer: Callable[[], StreamFramer]
    handshakes: Handshakes | None = None  # None: in the clear
    opened: bool = False
    deferred: dict[Acceptor, float] = field(default_factory=dict)  # until when
    full_at: float = float("-inf")  # when one was refused for `connections_max`
    episode: "_Episode | None" = None  # of deferring
    offences: Offences = field(init=False)

    def __post_init__(self) -> None:
        self.offences = Offences(self.intake.listener)
        self.intake.streams.group_by(self.limits.ipv6_prefix)
        if self.handshakes is None:
            self.open()

    def open(self) -> None:
        """Accept from now on; harmless when repeated."""
        if not self.opened:
            self.opened = True
            for acceptor in self.acceptors:
                self.ready_set.add(acceptor)

    def accept(
        self, acceptor: Acceptor, now: float, connections_max: int = TURN_CONNECTIONS
    ) -> int:
        """Accept what the backlog holds, or defer; returns how many connections were taken."""
        for accepted in range(connections_max):
            try:
                connection = acceptor.accept()
            except OSError as exc:
                self._defer(acceptor, exc, now)
                return accepted
            if connection is None:
                return accepted
            self._take(connection, now)
        return connections_max

    def resume(self, now: float) -> None:
        """Watch again the acceptors whose time has come. Once a second."""
        self.offences.due(now)
        for acceptor, until in list(self.deferred.items()):
            if now >= until:
                del self.deferred[acceptor]
                self.ready_set.add(acceptor)
        if self.episode and now - self.episode.deferred_at >= QUIET_SECONDS:
            log.info("listener %s: accepting as before, after it was deferred %d times in %.1f s",
                     self.intake.listener, self.episode.times,
                     self.episode.deferred_at - self.episode.began)  # fmt: skip
            self.episode = None

    def finished(self) -> bool:
        """The stop: nobody connects any more, whoever had connected is accepted.

        Not at once where descriptors are missing: False until closed connections have freed them.
        """
        now = self.intake.host.clock.now()
        self.opened = True  # or what is sealed would be watched
        for acceptor in self.acceptors:
            self.ready_set.discard(acceptor)
            acceptor.seal()
        self.deferred.clear()
        self.offences.tell()
        if self.handshakes is not None:
            self.handshakes.offences.tell()
        while self.acceptors and self.accept(self.acceptors[0], now) < TURN_CONNECTIONS:
            if self.deferred:
                return False
            self.acceptors[0].close()
            self.acceptors = self.acceptors[1:]
        return not self.acceptors

    def stream(self, handshake: Handshake) -> Stream:
        """What a connection becomes whose peer is let in."""
        stream = Stream(handshake.connection, self.framer(), self.intake.host.clock.now())
        stream.tls, stream.identity = handshake.tls, handshake.connection.identity
        if stream.identity is not None:
            stream.sender = named(stream.connection.peer, stream.identity.name)
        return stream

    def end_unproved(self, seconds: float, *, late: bool) -> None:
        """The stop: whoever is silent in its TLS handshake for so long ends; when late, all do."""
        if self.handshakes is not None:
            self.handshakes.end_silent(seconds, late=late)

    def _take(self, connection: Connection, now: float) -> None:
        account = self.intake.account
        refusal = self._refusal(connection.peer, now)
        if refusal is not None:
            account.connections_refused[refusal] += 1
            connection.close()
            self._tell(refusal, connection.peer, now)
            return
        account.connections_accepted += 1
        account.connections_open += 1
        if self.handshakes is None:
            self.intake.streams.add(Stream(connection, self.framer(), now))
            self.ready_set.add(connection)
        else:
            self.handshakes.begin(connection, now)
        log.debug("listener %s: connection from %s", self.intake.listener, connection.peer)

    def _refusal(self, peer: str, now: float) -> ConnectionRefusal | None:
        limits, streams = self.limits, self.intake.streams
        if limits.allowed is not None and peer not in limits.allowed:
            return ConnectionRefusal.NOT_ALLOWED
        if self.handshakes is not None and self.handshakes.secure.context is None:
            return ConnectionRefusal.TLS_UNUSABLE
        group = self._group(peer)
        if limits.accepts is not None and not limits.accepts.of(group, now).take(1, now):
            return ConnectionRefusal.ACCEPT_RATE
        if streams.connections >= limits.connections_max:
            return ConnectionRefusal.CONNECTIONS_MAX
        most = limits.per_address_max
        if most is not None and streams.addresses.get(group, 0) >= most:
            return ConnectionRefusal.CONNECTIONS_PER_ADDRESS_MAX
        return None

    def _group(self, peer: str) -> str:
        return group_of(peer, self.limits.ipv6_prefix)

    def _tell(self, refusal: ConnectionRefusal, peer: str, now: float) -> None:
        if refusal is ConnectionRefusal.NOT_ALLOWED:
            self.offences.note(peer, "refused: not allowed", now)
        elif refusal is ConnectionRefusal.ACCEPT_RATE:
            self.offences.note(self._group(peer), "refused: above accept_rate", now)
        elif refusal is ConnectionRefusal.CONNECTIONS_PER_ADDRESS_MAX:
            text = f"refused: {self.limits.per_address_max} from there are open"
            self.offences.note(self._group(peer), text, now)
        elif refusal is ConnectionRefusal.CONNECTIONS_MAX:  # which says nothing of this peer
            if now - self.full_at >= QUIET_SECONDS:
                log.warning("listener %s has %d connections, refuses more",
                            self.intake.listener, self.limits.connections_max)  # fmt: skip
            self.full_at = now

    def _defer(self, acceptor: Acceptor, exc: OSError, now: float) -> None:
        """Let who connects wait. Told once, however often a free descriptor comes between."""
        self.intake.account.accept_deferred += 1
        self.ready_set.discard(acceptor)
        self.deferred[acceptor] = now + DEFER_SECONDS
        if self.episode is None:
            self.episode = _Episode(now)
            log.warning(
                "listener %s: accept deferred: %s", self.intake.listener, exc.strerror or exc
            )
        self.episode.times += 1
        self.episode.deferred_at = now


@dataclass(slots=True, eq=False, repr=False)
class _Episode:
    """Of deferring: from the first fault of accept(2) until none comes any more."""

    began: float
    times: int = 0
    deferred_at: float = 0.0
