"""The connections of a stream listener that are watched, made to wait, and let go."""

import logging

import trio

from relay.core.intake import Intake
from relay.core.streams import Stream
from relay.listeners.limits import Limits
from relay.listeners.offences import Offences
from relay.listeners.pacing import Pacing
from relay.listeners.resets import Resets
from relay.listeners.rota import Rota
from relay.system.ports import ConnectionBroken, ReadySet, TlsFault

log = logging.getLogger("relay.listener")


class Watching:
    """What a reader needs to know before it reads.

    Invariants: `queue` holds open connections, and of those that are watched all that are
    `pending`; `excused` are some of it, who are not watched until their turn; `leaving` is who got
    our FIN and is open.
    """

    def __init__(self, intake: Intake, limits: Limits, ready_set: ReadySet) -> None:
        self.intake = intake
        self.ready_set = ready_set
        self.resets = Resets(intake.listener)
        self.offences = Offences(intake.listener)
        self.queue = Rota()
        self.excused: set[Stream] = set()
        self.leaving: dict[Stream, None] = {}
        self.pacing: Pacing | None = None
        if limits.buckets is not None:
            self.pacing = Pacing(intake.listener, limits.buckets)
        self._limits = limits
        self._stay = trio.CancelScope()
        self._waits = False  # for somebody to say something
        for stream in intake.streams.table.values():
            ready_set.add(stream.connection)
            self._look(stream)
            if stream.ended_at is not None:
                self.leaving[stream] = None

    def until(self, deadline: float) -> trio.CancelScope:
        """The scope to wait in: it is left then, or when somebody waits who has said it already.

        It holds many waits, as one for each was a tenth of what a turn costs.
        """
        self._stay = trio.CancelScope(deadline=deadline)
        return self._stay

    async def wait(self) -> bool:
        """Wait until somebody has something to say or may go on.

        Returns False at once where somebody may have more to say: that is known when he is read.
        """
        if self.queue:
            await trio.lowlevel.checkpoint()
            return False
        self._waits = True
        try:
            if self.pacing is None:
                await self.ready_set.wait()
            else:
                with trio.move_on_after(self.pacing.seconds(self.intake.host.clock.now())):
                    await self.ready_set.wait()
        finally:
            self._waits = False
        return True

    def welcome(self, stream: Stream) -> None:
        """A connection that has proved who it is, and may have said something already."""
        self.intake.streams.add(stream)
        self.ready_set.add(stream.connection)
        self._give_turn(stream)

    def end(self, stream: Stream, now: float) -> None:
        """Send our FIN; the connection is closed after the peer's, or sealed when it lingers."""
        stream.end(now)
        self.leaving[stream] = None
        self._look(stream)
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

    def stop_pacing(self) -> None:
        """The stop: everybody is read to the end, whatever the rate."""
        pacing, self.pacing = self.pacing, None
        for stream in pacing.waiting if pacing is not None else ():
            self._resume(stream)
        self.intake.account.connections_waiting = 0

    def _excuse(self, stream: Stream) -> None:
        """The ready set need not tell again of who waits for its turn.

        It did at each turn, of up to 512, which was a fifth of what a message costs where
        5,000 connections are busy. Now it tells twice of each turn, and takes two calls, 1 µs.
        """
        self.ready_set.mute(stream.connection)
        self.excused.add(stream)

    def _watch_again(self, stream: Stream) -> None:
        """Its turn is over."""
        self.excused.remove(stream)
        self.ready_set.unmute(stream.connection)

    def _unqueue(self, stream: Stream) -> None:
        """It is to be watched anew, or not at all."""
        self.queue.discard(stream)
        self.excused.discard(stream)

    def _look(self, stream: Stream) -> None:
        """Whoever is watched has its turn also for what it has said already."""
        if stream.pending:
            self._give_turn(stream)

    def _give_turn(self, stream: Stream) -> None:
        """It has its turn, which begins now where it is waited for somebody to say something."""
        self.queue.add(stream)
        if self._waits:
            self._stay.cancel()

    def _must_wait(self, pacing: Pacing, stream: Stream, now: float) -> bool:
        """Whether its sender's rate is spent; then its connection is not watched for a while."""
        if stream.ended_at is not None or not pacing.holds(stream, now):
            return False
        self.ready_set.discard(stream.connection)
        self._unqueue(stream)
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
        self._look(stream)

    def _is_open(self, stream: Stream) -> bool:
        return stream.connection in self.intake.streams.table

    def _broke(self, stream: Stream, broken: ConnectionBroken) -> None:
        """Count a connection that broke, and tell why."""
        peer, now = stream.connection.peer, self.intake.host.clock.now()
        if isinstance(broken, TlsFault):
            reason = f"tls-{broken.reason}"
            self.offences.note(peer, f"ended: {reason}", now, str(broken))
        else:
            reason = "reset"
            self.resets.note(peer, str(broken), now)
        self.intake.account.connections_failed[reason] += 1

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
        self._unqueue(stream)
        self.leaving.pop(stream, None)
        if self.pacing is not None:
            self.pacing.forget(stream)
            self.intake.account.connections_waiting = len(self.pacing.waiting)
        self.ready_set.discard(stream.connection)
        stream.connection.close()
        self.intake.streams.remove(stream)
        self.intake.account.connections_open -= 1
