"""The reader: serves ready connections in turns. One task, however many connections."""

import logging
from collections.abc import Sequence

from relay.core.account import Refusal
from relay.core.batch import TURN_OCTETS
from relay.core.receipt import Receipt
from relay.core.streams import READ_OCTETS_FIRST, Stream, UnexpectedTls
from relay.listeners.acceptance import Acceptance
from relay.listeners.deadlines import Late
from relay.listeners.turn import TURN_MESSAGES, Turn
from relay.listeners.watching import Watching
from relay.system.ports import ConnectionBroken

log = logging.getLogger("relay.listener")

# Of a connection at a time; more when few have something to say. 16 KiB, which leave a part of it
# in the kernel, cost 0.2 µs more for each message of 100 or 5,000 busy connections.
READ_OCTETS = 64 << 10
BRIEF_OCTETS = READ_OCTETS_FIRST  # as long as nobody waits
# What a message counts for at least in an address's share: so many messages fill a turn, too.
WEIGHT_OCTETS = TURN_OCTETS // TURN_MESSAGES
SEALED_SECONDS = 0.05  # after the seal: see `Connection.seal`
LINGER_SECONDS = 1.5  # after our FIN a peer may say the rest; who does not hear it is sealed
LEAVE_SECONDS = 30.0  # and so is who does not come to an end


class Reader(Watching):
    """Reads ready connections in turns; from each read to its put nothing awaits."""

    waited_at = float("-inf")  # until then everybody has waited for a pipe

    def turn(
        self, acceptance: Acceptance, *, linger: float = LINGER_SECONDS, sweep: bool = False
    ) -> tuple[int, int]:
        """Serve what is ready, at most 256 KiB; returns the messages and octets that it brought.

        `linger`: who got our FIN and is silent for so long is sealed, then closed. `sweep`: look
        for connections that have missed a deadline, first of all.
        """
        turn = Turn(self.intake.host.clock.now(), self.intake.account.frames.empty)
        try:
            ready = self._ready(acceptance, turn.now)
            if not (sweep or self.queue or self.pacing is not None):
                ready = self._serve_at_once(ready, turn)
            self._line_up(ready)
            if sweep:
                self._end_late(turn)
            self._serve_queue(turn)
            self._close_silent(turn, linger)
            self._relieve(turn)
        finally:  # a bug must not cost what the connections before had sent
            self._put(turn)
        return len(turn.messages), turn.octets

    def _ready(self, acceptance: Acceptance, now: float) -> list[Stream]:
        """Who has something to say; who had to wait for its sender's rate lines up at once.

        Acceptors wait for nobody: a turn's data takes longer than a turn's connections.
        """
        streams = self.intake.streams.table
        ready: list[Stream] = []
        if self.pacing is not None:
            for waited in self.pacing.due(now):
                self._resume(waited)
                self.queue.add(waited)
        for source in self.ready_set.ready():
            stream = streams.get(source)  # type: ignore[arg-type]
            if stream is None:
                acceptance.accept(source, now)  # type: ignore[arg-type]
            else:
                ready.append(stream)
        return ready

    def _serve_at_once(self, ready: Sequence[Stream], turn: Turn) -> list[Stream]:
        """Where nobody waits, whoever says little at a time is read without standing in line.

        That is 4 µs of 15 for a message that comes alone. It goes on until one may have more to
        say, or all had what an address may have at a time: from then on it matters whose turn it
        is. Returns who is to line up.
        """
        busy: list[Stream] = []
        messages = turn.messages
        for at, stream in enumerate(ready):
            asked = stream.read_octets
            if asked > BRIEF_OCTETS:
                busy.append(stream)
            elif (
                turn.octets >= READ_OCTETS
                or len(messages) * WEIGHT_OCTETS >= READ_OCTETS
                or self._read(stream, turn, asked) == asked
            ):
                return [*busy, *filter(self._is_open, ready[at:])]
        return busy

    def _line_up(self, ready: Sequence[Stream]) -> None:
        """Who was not served last time comes first; epoll's own order would leave them there."""
        for stream in ready:
            if not self.queue.add(stream) and stream not in self.excused:
                self._excuse(stream)

    def _serve_queue(self, turn: Turn) -> None:
        """A share for each connection, addresses in turn; while they contend, again and again.

        So an address with one connection gets as much of a full turn as one with hundreds.
        """
        share = max(READ_OCTETS, TURN_OCTETS // max(1, len(self.queue)))
        while self.queue and not turn.full:
            stream, left = self.queue.pop(share)
            messages = len(turn.messages)
            octets = self._serve(stream, turn, left)
            if 0 < octets < BRIEF_OCTETS:
                stream.calm()
            weight = max(octets, (len(turn.messages) - messages) * WEIGHT_OCTETS)
            over = self.queue.charge(stream, weight)
            if self._is_open(stream) and (octets >= left or turn.full):  # it may have more to say
                if not over:
                    self.queue.resume(stream)
                elif not self.queue or self.queue.contested(stream):
                    self.queue.add(stream)  # alone, it is read again without being waited for
            if stream in self.excused and stream not in self.queue:
                self._watch_again(stream)

    def _serve(self, stream: Stream, turn: Turn, share: int) -> int:
        """Returns the octets that it brought: all of its share, and it may have more to say."""
        left = share
        while left and not turn.full and self._is_open(stream):
            if self.pacing is not None and self._must_wait(self.pacing, stream, turn.now):
                break
            asked = min(left, turn.left(stream))
            read = self._read(stream, turn, asked)
            left -= read
            if read < asked:
                break
        return share - left

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
                self._end(stream, turn)

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
            turn.add(found, stream.sender)

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
            self._end(stream, turn, broken)
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
            self._end(stream, turn)
            return 0
        octets = len(data)
        stream.pace(octets, len(found), octets_max)
        if self.pacing is not None:
            self.pacing.charge(stream, len(found), turn.now)
        turn.add(found, stream.sender)
        turn.octets += octets
        if stream.begun_at is not None or stream.buffered:
            self.intake.streams.weigh(stream)
        if stream.tls is not None:
            self._look(stream)
        return octets

    def _end(self, stream: Stream, turn: Turn, broken: ConnectionBroken | None = None) -> None:
        """The connection ended: what it has begun and not finished is a message, or counted."""
        turn.add(stream.close(), stream.sender)
        if broken is not None:
            self._broke(stream, broken)
        elif stream.tls is not None:
            stream.end(turn.now)  # whoever waits for our close_notify takes none for a fault
        self._close(stream)
