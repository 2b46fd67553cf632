"""The reader: serves ready connections in turns. One task, however many connections."""

import logging

from relay.core.account import Refusal
from relay.core.batch import TURN_OCTETS
from relay.core.intake import Intake
from relay.core.receipt import Receipt
from relay.core.streams import Stream, UnexpectedTls
from relay.listeners.acceptance import Acceptance
from relay.listeners.deadlines import Late
from relay.listeners.limits import Limits
from relay.listeners.offences import Offences
from relay.listeners.pacing import Pacing
from relay.listeners.resets import Resets
from relay.listeners.turn import Turn
from relay.system.ports import ConnectionBroken, ReadySet

log = logging.getLogger("relay.listener")

READ_OCTETS = 16 << 10  # of each connection in one turn; more when few have something to say
SEALED_SECONDS = 0.05  # after the seal: see `Connection.seal`
LINGER_SECONDS = 1.5  # after our FIN a peer may say the rest; who does not hear it is sealed
LEAVE_SECONDS = 30.0  # and so is who does not come to an end


class Reader:
    """Reads ready connections in turns; from each read to its put nothing awaits.

    Invariants: `queue` holds open connections; `leaving` is who got our FIN and is open.
    """

    def __init__(self, intake: Intake, limits: Limits, ready_set: ReadySet) -> None:
        self.intake = intake
        self.ready_set = ready_set
        self.waited_at = float("-inf")  # until then everybody has waited for a pipe
        self.resets = Resets(intake.listener)
        self.offences = Offences(intake.listener)
        self.queue: dict[Stream, None] = {}  # ready, in the order in which they are served
        self.leaving: dict[Stream, None] = {}
        self.pacing: Pacing | None = None
        if limits.buckets is not None:
            self.pacing = Pacing(intake.listener, limits.buckets)
        self._limits = limits
        for stream in intake.streams.table.values():
            ready_set.add(stream.connection)
            if stream.ended_at is not None:
                self.leaving[stream] = None

    def turn(
        self, acceptance: Acceptance, *, linger: float = LINGER_SECONDS, sweep: bool = False
    ) -> tuple[int, int]:
        """Serve what is ready, at most 256 KiB; returns the messages and octets that it brought.

        `linger`: who got our FIN and is silent for so long is sealed, then closed. `sweep`: look
        for connections that have missed a deadline, first of all.
        """
        turn = Turn(self.intake.host.clock.now(), self.intake.account.frames.empty)
        try:
            self._line_up(acceptance, turn.now)
            if sweep:
                self._end_late(turn)
            self._serve_queue(turn)
            self._close_silent(turn, linger)
            self._relieve(turn)
        finally:  # a bug must not cost what the connections before had sent
            self._put(turn)
        return len(turn.messages), turn.octets

    def end_strangers(self) -> None:
        """The connections that a reload has left, and whose senders it allows no more, end."""
        allowed, now = self._limits.allowed, self.intake.host.clock.now()
        if allowed is None:
            return
        ended = 0
        for stream in list(self.intake.streams.table.values()):
            if stream.ended_at is None and stream.connection.peer not in allowed:
                self.end(stream, now)
                ended += 1
        if ended:
            log.warning("listener %s ends %d connections that are no longer allowed",
                        self.intake.listener, ended)  # fmt: skip

    def end(self, stream: Stream, now: float) -> None:
        """Send our FIN; the connection is closed after the peer's, or sealed when it lingers."""
        stream.end(now)
        self.leaving[stream] = None
        if self.pacing is not None and stream in self.pacing.waiting:
            self.pacing.forget(stream)
            self._resume(stream)

    def due(self, now: float) -> None:
        """Tell what is to be told by now. Once a second."""
        self.resets.due(now)
        self.offences.due(now)
        if self.pacing is not None:
            self.pacing.tell(now)

    def tell(self) -> None:
        """The end: tell what was not told."""
        self.resets.tell(self.intake.host.clock.now())
        self.offences.tell()

    def pace_seconds(self) -> float:
        """How long until a connection may be read that its sender's rate has made to wait."""
        if self.pacing is None:
            return float("inf")
        return self.pacing.seconds(self.intake.host.clock.now())

    def stop_pacing(self) -> None:
        """The stop: everybody is read to the end, whatever the rate."""
        pacing, self.pacing = self.pacing, None
        for stream in pacing.waiting if pacing is not None else ():
            self._resume(stream)
        self.intake.account.connections_waiting = 0

    def _line_up(self, acceptance: Acceptance, now: float) -> None:
        """Who was not served last time comes first; epoll's own order would leave them there.

        Acceptors wait for nobody: a turn's data takes longer than a turn's connections.
        """
        streams = self.intake.streams.table
        if self.pacing is not None:
            for waited in self.pacing.due(now):
                self._resume(waited)
                self.queue.setdefault(waited)
        for source in self.ready_set.ready():
            stream = streams.get(source)  # type: ignore[arg-type]
            if stream is None:
                acceptance.accept(source, now)  # type: ignore[arg-type]
            else:
                self.queue.setdefault(stream)

    def _serve_queue(self, turn: Turn) -> None:
        share = max(READ_OCTETS, TURN_OCTETS // max(1, len(self.queue)))
        while self.queue and not turn.full:
            stream = next(iter(self.queue))
            del self.queue[stream]
            self._serve(stream, turn, share)

    def _serve(self, stream: Stream, turn: Turn, share: int) -> None:
        while share and not turn.full and self._is_open(stream):
            if self.pacing is not None and self._must_wait(self.pacing, stream, turn.now):
                return
            asked = min(share, stream.read_octets)
            read = self._read(stream, turn, asked)
            share -= read
            if read < asked:
                return

    def _must_wait(self, pacing: Pacing, stream: Stream, now: float) -> bool:
        """Whether its sender's rate is spent; then its connection is not watched for a while."""
        if stream.ended_at is not None or not pacing.holds(stream, now):
            return False
        self.ready_set.discard(stream.connection)
        account = self.intake.account
        account.connections_paced += 1
        account.connections_waiting = len(pacing.waiting)
        return True

    def _resume(self, stream: Stream) -> None:
        """Watch a connection again that had to wait."""
        if self.pacing is not None:
            self.intake.account.connections_waiting = len(self.pacing.waiting)
        stream.resume(self.intake.host.clock.now())
        self.ready_set.discard(stream.connection)  # it may be watched again already
        self.ready_set.add(stream.connection)

    def _end_late(self, turn: Turn) -> None:
        """Connections that have missed a deadline get our FIN.

        Not those that only wait for us, who have waited for a pipe: what is read here counts.
        """
        deadlines = self._limits.deadlines
        for stream in list(self.intake.streams.table.values()) if deadlines.any else ():
            if turn.full:
                return
            if self._late(stream, turn.now) is None:
                continue
            self._read(stream, turn, stream.read_octets)
            late = self._late(stream, turn.now) if self._is_open(stream) else None
            if late is not None:
                self.intake.account.connections_failed[late] += 1
                if text := deadlines.text(late):
                    self.offences.note(stream.connection.peer, text, turn.now)
                self._give_up(stream, late, turn.now)

    def _give_up(self, stream: Stream, late: Late, now: float) -> None:
        self.end(stream, now)

    def _late(self, stream: Stream, now: float) -> Late | None:
        """Which deadline it has missed, although it was read."""
        if stream.ended_at is not None or (
            self.pacing is not None and stream in self.pacing.waiting
        ):
            return None
        return self._limits.deadlines.missed(stream, now, self.waited_at)

    def _close_silent(self, turn: Turn, linger: float) -> None:
        """Of those that got our FIN, seal who lingers; close who is sealed and holds no more."""
        for stream in list(self.leaving):
            patience = linger if stream.sealed_at is None else SEALED_SECONDS
            if stream.silent_since(turn.now) < patience:
                if self._overstays(stream, turn.now):
                    stream.seal(turn.now)
                continue
            if self._read(stream, turn, stream.read_octets):
                if turn.full:
                    return
            elif not self._is_open(stream):
                continue
            elif stream.sealed_at is None:
                stream.seal(turn.now)
            else:
                self._end(stream, turn, "")

    def _overstays(self, stream: Stream, now: float) -> bool:
        """Whether it goes on long after our FIN. A stop has a deadline of its own."""
        if stream.ended_at is None or self.intake.draining.is_set():
            return False
        return now - max(stream.ended_at, self.waited_at) >= LEAVE_SECONDS

    def _relieve(self, turn: Turn) -> None:
        """Cut the largest unfinished messages while all together exceed `buffer_max`."""
        streams = self.intake.streams
        while streams.buffered > self._limits.buffer_max:
            stream = streams.largest()
            held = stream.buffered
            found = stream.framer.cut()
            streams.weigh(stream)
            if stream.buffered == held:
                return  # even the largest holds nothing but the beginning of a count
            turn.add(found, stream.connection.peer)

    def _put(self, turn: Turn, receipt: Receipt | None = None) -> None:
        if empty := self.intake.account.frames.empty - turn.empty_before:
            self.intake.refuse(empty, Refusal.EMPTY)
        if turn.messages:
            self.intake.put(
                turn.messages, turn.senders, octets=turn.octets, framed=True, receipt=receipt
            )
        else:
            self.intake.account.received_octets += turn.octets

    def _read(self, stream: Stream, turn: Turn, octets_max: int) -> int:
        """Add what one connection has sent; returns its octets. Its faults end it alone."""
        data: bytes | None = None
        try:
            data = stream.connection.receive(octets_max)
            if data is None:
                return 0
            found = stream.feed(data, turn.now) if data else ()
        except ConnectionBroken as broken:
            self._end(stream, turn, str(broken))
            return 0
        except UnexpectedTls:
            turn.octets += len(data or b"")
            self._fail(stream, "tls", "refused: it begins TLS, and this listener speaks none")
            return 0
        except Exception:
            log.exception("listener %s: connection from %s fails",
                          self.intake.listener, stream.connection.peer)  # fmt: skip
            self._abandon(stream)
            return 0
        if not data:
            self._end(stream, turn, "")
            return 0
        stream.pace(len(data), len(found))
        if self.pacing is not None:
            self.pacing.charge(stream, len(found), turn.now)
        turn.add(found, stream.connection.peer)
        turn.octets += len(data)
        self.intake.streams.weigh(stream)
        return len(data)

    def _is_open(self, stream: Stream) -> bool:
        return stream.connection in self.intake.streams.table

    def _end(self, stream: Stream, turn: Turn, fault: str) -> None:
        """The connection ended: what it has begun and not finished is a message, or counted."""
        turn.add(stream.close(), stream.connection.peer)
        if fault:
            self.intake.account.connections_failed["reset"] += 1
            self.resets.note(stream.connection.peer, fault, turn.now)
        self._close(stream)

    def _fail(self, stream: Stream, reason: str, text: str) -> None:
        """Close it; nothing that it has begun is a message."""
        self.intake.account.connections_failed[reason] += 1
        self.offences.note(stream.connection.peer, text, self.intake.host.clock.now())
        self._close(stream)

    def _abandon(self, stream: Stream) -> None:
        account = self.intake.account
        account.connections_failed["internal-error"] += 1
        account.frames.incomplete += 1
        account.frames.incomplete_octets += stream.framer.buffered
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        self.queue.pop(stream, None)
        self.leaving.pop(stream, None)
        if self.pacing is not None:
            self.pacing.forget(stream)
            self.intake.account.connections_waiting = len(self.pacing.waiting)
        self.ready_set.discard(stream.connection)
        stream.connection.close()
        self.intake.streams.remove(stream)
        self.intake.account.connections_open -= 1
