"""The channel's side of its spool: what goes to disk, and what comes back."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import trio

from relay.core.account import Drop
from relay.core.backlog import Backlog, Lost, Segment, Spool, complete
from relay.core.queue import Entry

if TYPE_CHECKING:
    from relay.core.channel import Channel

log = logging.getLogger("relay.spool")

READ_OCTETS = 1 << 20  # a hop: a hundred microseconds of it is the hop itself
READ_FAILED_SECONDS = 1.0  # until the disk is asked again


class HeldOnDisk(TypedDict):
    spool: int
    orphan: int


class Spooling:
    """Invariant: a message held is in the queue, or in the gap of the backlog, never in both."""

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self._switching = False  # the old content of the disk comes in: nothing may be lent

    @property
    def holds_back(self) -> bool:
        """What is in the queue has to wait: older messages may be on disk."""
        backlog = self._channel.backlog
        return backlog is not None and (not backlog.tried or self._switching)

    @property
    def behind(self) -> bool:
        """There is more than the queue has, and it can be had."""
        backlog = self._channel.backlog
        return backlog is not None and backlog.gap is not None and not self.holds_back

    @property
    def behind_queue(self) -> int:
        """Messages that are not in the queue."""
        backlog = self._channel.backlog
        return backlog.gap_messages if backlog is not None else 0

    def held(self) -> HeldOnDisk:
        channel, backlog = self._channel, self._channel.backlog
        behind = backlog.gap_messages + sum(backlog.unbooked.values()) if backlog is not None else 0
        return {"spool": 0, "orphan": behind} if channel.orphan else {"spool": behind, "orphan": 0}

    # -- what is put

    def take(self, entry: Entry) -> bool:
        """The channel takes this entry: write it, if it is to be written.

        True when it has to wait there for its turn; False when it goes into the queue.
        """
        backlog = self._backlog
        if not backlog.active and self._channel.memory_full and not backlog.failing:
            self.spill()
        if not backlog.active:
            return False
        backlog.add(entry)
        if backlog.gap is None and backlog.tried and not self._channel.memory_full:
            return False
        backlog.widen(entry)
        return True

    def spill(self) -> None:
        """From now on everything is written, beginning with what is held, lent messages first."""
        backlog = self._backlog
        if not backlog.active:
            backlog.active = True
            for entry in self._channel._queue.held():
                backlog.add(entry)

    # -- what comes back

    async def refill(self) -> None:
        """Bring the next messages of the gap into the queue. Cancelled: nothing is taken."""
        backlog = self._backlog
        if self._adopt():
            return
        first = backlog.gap
        assert first is not None
        assert backlog.spool is not None
        try:
            found = await backlog.spool.read(first, READ_OCTETS)
        except OSError as exc:
            log.warning("pipe %s: spool cannot be read: %s", self._channel.account.name, exc)
            await trio.sleep(READ_FAILED_SECONDS)
            return
        if backlog.gap == first and not self._switching:
            self._accept(complete(found, first, backlog.committed))

    def _adopt(self) -> bool:
        """Take what is next from what is still in memory, as much of it as the queue may hold."""
        channel, backlog = self._channel, self._backlog
        if backlog.gap is None or backlog.gap < backlog.committed:
            return False
        before = backlog.gap
        for entry in backlog.unwritten:
            if entry.first == backlog.gap:
                channel._queue.add(entry)
                backlog.pass_gap(entry.end, len(entry.batch))
                if backlog.gap is None or channel.memory_full:
                    break
        assert backlog.gap != before, "what is not on disk is in memory"
        return True

    def _accept(self, found: Sequence[Entry | Lost]) -> None:
        channel, backlog = self._channel, self._backlog
        for it in found:
            if it.first >= backlog.committed:
                break  # written, and its sync has failed: that is still in memory
            if backlog.hole_at(it.first):
                continue  # dropped since, or while this was read
            if isinstance(it, Lost):
                log.error("pipe %s: spool is damaged: %s", channel.account.name, it.what)
                end = it.first + it.messages
                messages = it.messages - backlog.in_holes(it.first, end)
                backlog.pass_gap(end, messages)
                channel.account.drop(messages, Drop.DAMAGED)
            else:
                channel._queue.add(it)
                channel._weigh(len(it.batch), it.batch.octets)
                backlog.pass_gap(it.end, len(it.batch))
        if any(isinstance(it, Lost) for it in found):
            channel._left()

    # -- what the spool's task says

    async def make_way(self) -> None:
        """What comes from the disk is older than all that is held: wait while some is lent.

        Nothing more is lent meanwhile. Returns without another checkpoint: call `open` at once.
        """
        channel = self._channel
        self._switching = True
        try:
            while not self._backlog.ready and channel._queue.lent_messages:
                await channel._arrival.park()
        finally:
            self._switching = False

    def open(
        self,
        spool: Spool,
        *,
        settled: int,
        end: int,
        holes: Sequence[Segment] = (),
        messages: int,
        lost: int,
    ) -> None:
        """The directory is open: numbers `settled` to `end`, without the holes so many messages.

        `lost` more were held when the process before ended, and are nowhere.
        """
        channel, backlog = self._channel, self._backlog
        assert not (messages and channel._queue.lent_messages), "older messages than those lent"
        if messages or backlog.active or backlog.mode == "always":
            self._write_all(behind_disk=bool(messages))
        self._renumber(max(0, end - channel.head), again=bool(messages) and channel.first < end)
        if messages:
            backlog.holes = [*holes, *backlog.holes]
            if end < channel.head:  # those between were delivered while it was not open
                backlog.holes = [*backlog.holes, Segment(end, channel.head, 0)]
            backlog.gap_messages += messages
            backlog.pass_gap(settled, 0)
        backlog.spool = spool
        backlog.committed = max(end, channel.head)
        backlog.ready = backlog.tried = True
        backlog.failing, backlog.no_room, backlog.given_up = "", False, (0, 0)
        channel.account.recovered += messages + lost
        if lost:
            channel.account.drop(lost, Drop.CRASH)
        channel._left()

    def reopen(self, spool: Spool) -> None:
        """The directory is open again: the channel knows what is there."""
        backlog = self._backlog
        backlog.spool, backlog.failing, backlog.tried = spool, "", True
        backlog.no_room, backlog.given_up = False, (0, 0)
        self._channel.save()
        self._channel.wake()

    def committed(self, number: int, *, fails: bool = False) -> None:
        """Everything below this number is durable; the rest, if it `fails`, is not yet."""
        channel, backlog = self._channel, self._backlog
        for entry in backlog.pop_unwritten(number):
            if backlog.only_here(entry):
                channel._weigh(-len(entry.batch), -entry.batch.octets)
        if backlog.unwritten:  # a batch of several frames counts as a whole
            number = min(number, backlog.unwritten[0].first)
        backlog.committed = max(backlog.committed, number)
        if not fails:
            backlog.failing, backlog.no_room = "", False
        channel.debts.secured(number)
        channel.save()
        channel.wake()

    def failed(self, reason: str, *, no_room: bool = False) -> None:
        """The disk takes nothing now: the pipe goes on from memory."""
        backlog = self._backlog
        backlog.tried = True
        backlog.failing, backlog.no_room = reason, no_room
        self._channel._left()

    def left(self, head: int) -> None:
        """Everything below this number has left the channel."""
        backlog = self._channel.backlog
        if backlog is None:
            return
        if backlog.unbooked and (passed := backlog.pass_dropped(head)):
            self._channel.account.drop(passed, Drop.OLDEST)
        if backlog.holes:
            backlog.holes = [hole for hole in backlog.holes if hole.end > head]
        if backlog.failing or backlog.lags(self._channel.memory_max):
            backlog.pop_unwritten(head)  # nobody needs it on disk any more
        if head == self._channel.next and backlog.active and backlog.mode != "always":
            backlog.pop_unwritten(head)
            backlog.active = False  # the disk is empty: on from memory
            backlog.work.unpark_all()

    # -- losses

    @property
    def lacks_room(self) -> bool:
        """Whether what is oldest is to make room on the disk before memory is full."""
        backlog = self._channel.backlog
        return backlog is not None and backlog.lacks_room(self._channel.memory_max)

    def drop_oldest(self) -> None:
        """Make room on disk, a segment at a time: the oldest in which nothing is lent."""
        channel, backlog = self._channel, self._backlog
        while backlog.disk_full or self.lacks_room:
            self.retreat()
            gap = backlog.gap
            lent_end = channel._queue.lent[-1].end if channel._queue.lent else 0
            segment = next(
                (it for it in backlog.segments
                 if it.first >= lent_end and gap is not None and gap < it.end <= backlog.committed),
                None,
            )  # fmt: skip
            if segment is None:
                return
            backlog.drop_segment(segment)
            channel._left()

    def removed(self, segments: int) -> None:
        """So many of the segments that were dropped first are no longer on disk."""
        if messages := self._backlog.pop_dropped(segments):
            self._channel.account.drop(messages, Drop.OLDEST)

    def retreat(self) -> None:
        """Leave to the disk what waits in the queue, as far as it is there or on its way."""
        channel, backlog = self._channel, self._backlog
        taken = channel._queue.take_waiting()
        if not taken:
            return
        for entry in taken:
            if entry.end <= backlog.committed:
                channel._weigh(-len(entry.batch), -entry.batch.octets)
        backlog.split_at(taken[0].first)
        backlog.gap = taken[0].first
        backlog.gap_messages += sum(len(entry.batch) for entry in taken)

    def give_up(self) -> Sequence[Entry]:
        """What will not reach the disk any more is taken out of the backlog, and returned."""
        backlog = self._channel.backlog
        if backlog is None or not backlog.active:
            return ()
        self.retreat()
        rest = [entry for entry in backlog.pop_unwritten(self._channel.next)
                if backlog.only_here(entry)]  # fmt: skip
        backlog.gap_messages -= sum(len(entry.batch) for entry in rest)
        if rest:  # their numbers are used up: who takes the pipe up again passes them
            backlog.give_up(rest[0].first, self._channel.next)
        if not backlog.gap_messages:
            backlog.gap = None
        return rest

    # -- below

    def _write_all(self, *, behind_disk: bool) -> None:
        """Everything held is to be written; behind old messages on disk it is read from there."""
        channel, backlog = self._channel, self._backlog
        self.spill()
        backlog.pop_unwritten(channel.head)
        if backlog.unwritten and backlog.unwritten[0].first < channel.head:
            backlog.trim_first(channel.head - backlog.unwritten[0].first)
        if behind_disk:
            self.retreat()

    def _renumber(self, delta: int, *, again: bool) -> None:
        """Ours follow those of the disk; some of them may have been used `again`, and have left."""
        if not (delta or again):
            return
        channel, backlog = self._channel, self._backlog
        queue = channel._queue
        channel.account.renumbered += 1
        for entry in {*queue.lent, *queue.waiting, *backlog.unwritten}:
            entry.first += delta
        if backlog.gap is not None:
            backlog.gap += delta
        channel.next += delta
        channel.debts.renumber(delta)

    @property
    def _backlog(self) -> Backlog:
        backlog = self._channel.backlog
        assert backlog is not None
        return backlog
