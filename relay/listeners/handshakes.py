"""TLS handshakes: a table of their own in front of the streams, served by a task of their own.

Cryptography takes long, and anyone who may connect can ask for it: of CPU 0.35 ms with an elliptic
key of ours, 0.65 ms with RSA of 2048 bits, 1.4 ms where clients show certificates. So handshakes
get a share of the time, and no message waits longer for them than one turn takes.
"""

import logging
from collections.abc import Callable

import trio

from relay.core.intake import Intake
from relay.core.streams import Handshake
from relay.listeners.limits import Limits
from relay.listeners.offences import Offences
from relay.listeners.secure import Secure
from relay.system.ports import Connection, TlsFault, TlsReason

log = logging.getLogger("relay.listener")

TURN_SECONDS = 0.005
SHARE = 4  # one part in so many of the time of one CPU, at most
SWEEP_SECONDS = 1.0


class Handshakes:
    """Takes handshakes forward, a step at a time.

    Invariants: whoever is in the table of handshakes is watched, for room to send where `writable`,
    else for something to read; `queue` holds those of them that are ready, and `ready_at` says so.
    """

    def __init__(self, intake: Intake, limits: Limits) -> None:
        assert limits.tls is not None
        self.secure = Secure(intake, limits.tls)
        self.offences = Offences(intake.listener)
        self.ready_set = intake.host.network.ready_set()
        self.queue: dict[Handshake, None] = {}  # in the order of service
        self._intake = intake
        self._seconds_max = limits.deadlines.handshake
        self._table = intake.streams.handshakes  # outlives this run of the listener
        for connection, handshake in self._table.items():
            handshake.ready_at = None
            self.ready_set.add(connection, writable=handshake.writable)

    def close(self) -> None:
        self.ready_set.close()

    def begin(self, connection: Connection, now: float) -> None:
        """Of a connection on which nothing was said; `secure.context` must be there."""
        context = self.secure.context
        assert context is not None
        secure = context.wrap(connection)
        self._intake.streams.begin(Handshake(secure, self.secure.settings, now, now))
        self.ready_set.add(secure)

    async def serve(self, done: Callable[[Handshake], None]) -> None:
        """Take handshakes forward until cancelled; `done` gets those whose peers are let in.

        After each turn everybody else has `SHARE - 1` times as long.
        """
        clock = self._intake.host.clock
        swept = clock.now()
        while True:
            with trio.move_on_after(SWEEP_SECONDS):
                await self.ready_set.wait()
            began = clock.now()
            self.turn(done)
            if began - swept >= SWEEP_SECONDS:
                swept = began
                self.end_late()
                self.offences.due(began)
            await trio.sleep((clock.now() - began) * (SHARE - 1))

    def turn(self, done: Callable[[Handshake], None]) -> None:
        """Serve who is ready for `TURN_SECONDS`, one at least."""
        clock = self._intake.host.clock
        self._line_up()
        until = clock.now() + TURN_SECONDS
        while self.queue:
            handshake = next(iter(self.queue))
            if self._step(handshake):
                done(handshake)
            if clock.now() >= until:
                return

    def end_late(self) -> None:
        """End those whose peers have taken too long. Once a second.

        Not those that wait for us, and for nobody does the time count in which it did.
        """
        self._line_up()
        now = self._intake.host.clock.now()
        for handshake in list(self._table.values()):
            if handshake.ready_at is None and now - handshake.began_at >= self._seconds_max:
                text = f"no TLS handshake within {self._seconds_max:g} s"
                self._fail(handshake, TlsReason.TIMEOUT, text)

    def end_silent(self, seconds: float, *, late: bool) -> None:
        """The stop: end those that were silent for so long, all when it is late.

        Nothing of theirs was accepted.
        """
        self._line_up()
        now = self._intake.host.clock.now()
        for handshake in list(self._table.values()):
            silent = handshake.ready_at is None and now - handshake.heard_at >= seconds
            if late or silent:
                self._fail(handshake, TlsReason.TIMEOUT, "no TLS handshake by the stop")

    def _line_up(self) -> None:
        """Those that are ready wait for their turn from now on."""
        now = self._intake.host.clock.now()
        for source in self.ready_set.ready():
            handshake = self._table[source]  # type: ignore[index]
            if handshake.ready_at is None:
                handshake.ready_at = now
                self.queue[handshake] = None

    def _step(self, handshake: Handshake) -> bool:
        """Go on with one; True when it is done."""
        del self.queue[handshake]
        handshake.heard_at = self._intake.host.clock.now()
        if handshake.ready_at is not None:
            handshake.began_at += handshake.heard_at - handshake.ready_at
            handshake.ready_at = None
        connection = handshake.connection
        try:
            done = connection.handshake()
        except TlsFault as fault:
            self._fail(handshake, fault.reason, str(fault))
            return False
        except Exception:
            log.exception("listener %s: connection from %s fails",
                          self._intake.listener, connection.peer)  # fmt: skip
            self._intake.account.connections_failed["internal-error"] += 1
            self._close(handshake)
            return False
        if done:
            self._forget(handshake)
        elif connection.wants_room != handshake.writable:
            handshake.writable = connection.wants_room
            self.ready_set.discard(connection)
            self.ready_set.add(connection, writable=handshake.writable)
        return done

    def _fail(self, handshake: Handshake, reason: TlsReason, text: str) -> None:
        cause = f"tls-{reason}"
        self._intake.account.connections_failed[cause] += 1
        now = self._intake.host.clock.now()
        self.offences.note(handshake.connection.peer, f"refused: {cause}", now, text)
        self._close(handshake)

    def _close(self, handshake: Handshake) -> None:
        self._forget(handshake)
        handshake.connection.close()
        self._intake.account.connections_open -= 1

    def _forget(self, handshake: Handshake) -> None:
        self.queue.pop(handshake, None)
        self.ready_set.discard(handshake.connection)
        self._intake.streams.finish(handshake)
