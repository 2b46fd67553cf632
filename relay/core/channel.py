"""The channel: a pipe's bounded buffer in memory, with an optional spool behind it.

Putting never waits, and takes the whole batch or none of it. However a lease is left, what was lent
and not settled is back in front, in order. With a backlog, what does not fit waits on disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from relay.core.account import Confirmation, Drop, Held, PipeAccount, Record
from relay.core.backlog import Backlog
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.holding import held, write_record
from relay.core.lease import ChannelLease, refuse_lent
from relay.core.memory import Memory, cost
from relay.core.queue import Entry, Queue
from relay.core.receipt import Debts
from relay.core.spooling import Spooling
from relay.core.tail import Tail

if TYPE_CHECKING:
    from relay.core.dead_letters import DeadLetters
    from relay.core.expiry import Expiry


class Channel:
    """A pipe's buffer.

    Invariants, after every call:

    - `received + recovered == filtered + delivered + Σ dropped + held` in the account;
    - `held` is what the queue and the backlog really contain;
    - without a spool, no more than one batch above its bounds, one notice, and what holds receipts.
    """

    def __init__(
        self,
        account: PipeAccount,
        bounds: Bounds,
        memory: Memory,
        *,
        first: int = 0,
        record: Record | None = None,
    ) -> None:
        self.account = account
        self.first = first  # number of the first message that was put
        self.next = first  # number of the next message
        self.orphan = False  # no longer configured: what is on disk stays there
        self.stopping = False  # the relay stops: what finds no room here has no later chance
        self.recalled = 0  # messages put back when the last lease was left
        self.backlog: Backlog | None = None
        self.dead_letters: DeadLetters | None = None  # None: what is refused is lost
        self.expiry: Expiry | None = None  # None: nothing is ever too old
        self.lends_numbers = False  # a destination may write them into the messages
        self.tail = Tail()
        self.debts = Debts()
        self._closing: Drop | None = None
        self.memory_max = bounds.memory  # octets, each message's overhead included
        self._bounds = bounds
        self._memory = memory
        self.record = record  # where the books survive the process
        self._queue = Queue()
        self._careful = 0  # messages still to be lent one by one, after an unexpected failure
        self._leased = False
        self._arrival = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._emptied = trio.lowlevel.ParkingLot()
        self.spooling = Spooling(self)
        memory.join(self)
        account.holder = self

    # -- the listener's side

    def put(self, batch: Batch, *, full: bool | None = None) -> None:
        """Take the whole batch, or apply the overflow policy to it. Never waits.

        `full` is what the caller found when it looked at all the channels that are to take this
        batch: the memory that they share is not to run out for one while it is put to the others.
        """
        self.account.received += len(batch)
        if self.closing is not None:
            self._drop(batch, self.closing)
            return
        full = self.full if full is None else full
        if self._bounds.overflow == "drop-oldest" and (full or self.spooling.lacks_room):
            self._drop_oldest()
            full = full and self.full
        if full and not self._must_take(batch):
            waits = self.stopping and self._bounds.overflow == "block"
            self._drop(batch, Drop.SHUTDOWN if waits else Drop.FULL)
            return
        entry = Entry(self.next, batch)
        self.next += len(batch)
        if batch.receipt is not None and self.keeps:
            self.debts.owe(entry.first, entry.end, batch.receipt)
        if self.backlog is None or not self.spooling.take(entry):
            self._queue.add(entry)
        self._weigh(len(batch), batch.octets)
        self._arrival.unpark_all()
        self.save()

    async def room(self, *, acknowledging: bool = False) -> None:
        """Wait while the channel is full and must not drop.

        Returns without another checkpoint after it has looked: what the caller reads and puts
        before its next `await` finds the room that was seen.
        """
        while self.makes_wait(acknowledging=acknowledging):
            await self._room.park()

    @property
    def closing(self) -> Drop | None:
        """Set: nothing is taken any more, and what is put is dropped for this reason."""
        return self._closing

    @closing.setter
    def closing(self, reason: Drop | None) -> None:
        self._closing = reason
        self.wake()  # nobody is to wait for room here

    @property
    def blocked(self) -> bool:
        return self._bounds.overflow == "block" and self.full

    def makes_wait(self, *, acknowledging: bool) -> bool:
        """Whether a listener must not read now; one that acknowledges waits for all who keep."""
        return self.full and (self._bounds.overflow == "block" or (acknowledging and self.keeps))

    @property
    def full(self) -> bool:
        if self.closing is not None:
            return False  # `put` has its answer
        if self.backlog is not None and not (self.backlog.failing and not self.backlog.active):
            return self.backlog.full(self._bounds.memory)
        return self.memory_full

    @property
    def memory_full(self) -> bool:
        messages = self._queue.messages
        return (
            messages >= self._bounds.messages
            or cost(messages, self._queue.octets) >= self._bounds.memory
            or self._memory.exhausted(self)
        )

    @property
    def keeps(self) -> bool:
        """True when no policy of this pipe drops a message that holds a receipt."""
        return self._bounds.overflow == "block" or self.backlog is not None

    # -- the delivery's side

    @contextmanager
    def lease(self) -> Iterator[ChannelLease]:
        """Hold the channel, one at a time; leaving, however, recalls in order what was lent."""
        assert not self._leased, "a channel has one delivery"
        self._leased = True
        lease = ChannelLease(self)
        try:
            yield lease
        finally:
            lease.close()
            self._leased = False
            self._recall(replay=lease.replays)
            self._arrival.unpark_all()  # who still waits under this lease hears that it was left

    # -- the supervisor's side

    def bound(self, bounds: Bounds) -> None:
        """Other bounds from now on; what is held above them stays."""
        self._bounds, self.memory_max = bounds, bounds.memory
        self.wake()

    def forget_tail(self) -> None:
        """The destination is another one: what that before may not have read is not for it."""
        self.tail.resize(0)
        self.account.in_doubt += self._queue.drop_waiting_echoes()

    def drop_all(self, reason: Drop) -> int:
        """Drop what is waiting in memory; return how many messages. No lease may be held.

        What is durable on disk stays there.
        """
        assert not self._leased
        dropped = 0
        for entry in [*self.spooling.give_up(), *self._queue.take_waiting()]:
            self._weigh(-len(entry.batch), -entry.batch.octets)
            self.account.drop(len(entry.batch), reason, notice=entry.batch.notice)
            dropped += len(entry.batch)
        self.account.in_doubt += self._queue.drop_waiting_echoes()
        self.debts.abandon()
        self._left()
        return dropped

    def refuse_head(self, reason: Drop, why: str = "", by: str = "") -> None:
        """Drop the message at the head, on which deliveries keep failing. No lease may be held."""
        assert not self._leased
        if self._queue.waiting:
            self._queue.lend(1, 0)
            refuse_lent(self, 1, reason, why, by)

    async def empty(self) -> None:
        """Wait until nothing is held."""
        while not self.is_empty:
            await self._emptied.park()

    @property
    def is_empty(self) -> bool:
        return not self._queue.messages and not self.spooling.behind_queue

    def be_careful(self, messages: int) -> None:
        """Lend the next messages one by one: among them is one that a delivery fails on."""
        self._careful = max(self._careful, messages)

    def close(self) -> None:
        """Give the memory back. Nothing may be held in it any more."""
        assert not self._queue.messages
        self._memory.leave(self)

    def reopen(self) -> None:
        """The pipe is configured (still, or again) and takes what is put."""
        self._memory.join(self)
        self.orphan = False
        self.closing = None

    def freed(self) -> None:
        """There may be more of the shared memory."""
        if not self.blocked:
            self._room.unpark_all()

    def save(self) -> None:
        """Let the books survive as they are now."""
        if self.record is not None:
            write_record(self, self.record)

    @property
    def head(self) -> int:
        """Number of the oldest message held, or of the next one: names the message there."""
        head = self._queue.head
        if head is not None:
            return head
        gap = self.backlog.gap if self.backlog is not None else None
        return self.next if gap is None else gap

    def held(self) -> Held:
        return held(self)

    # -- below: the books

    def _must_take(self, batch: Batch) -> bool:
        """Full or not: one notice of losses, and what the sender will be told yes for."""
        if batch.receipt is not None and self.keeps:
            return True
        return batch.notice and not self._queue.notices

    def _drop(self, batch: Batch, reason: Drop) -> None:
        self.account.drop(len(batch), reason, notice=batch.notice)
        if batch.receipt is not None and self.keeps and reason is not Drop.FULL:
            batch.receipt.abandon()  # the pipe ends, and has kept nothing of it
        self.save()

    def _drop_oldest(self) -> None:
        if self.backlog is not None and self.backlog.active:
            self.spooling.drop_oldest()
        if self.debts:
            return  # nobody drops what a receipt is for
        while self.memory_full and not (self.backlog is not None and self.backlog.active):
            entry = self._queue.drop_oldest_waiting()
            if entry is None:
                return
            self._weigh(-len(entry.batch), -entry.batch.octets)
            self.account.drop(len(entry.batch), Drop.OLDEST, notice=entry.batch.notice)

    def _settle(self, messages: int, level: Confirmation) -> None:
        delivered = 0
        leaving = self._queue.shift(messages)
        for entry in leaving:
            if not entry.echo:
                delivered += len(entry.batch)
                self._weigh(-len(entry.batch), -entry.batch.octets)
        self.account.delivered[level] += delivered
        if self.tail.octets_max and level is Confirmation.ACKED:
            self.tail.keep(leaving)
        self._careful = max(0, self._careful - messages)
        self._left()

    def _recall(self, *, replay: bool) -> None:
        waited = self._queue.waiting_echoes  # counted when they were put there, and not sent since
        echoes = self._queue.lent_echoes + waited
        self.recalled = self._queue.recall()
        self.account.retried += self.recalled
        if replay or echoes:
            again = self._queue.echo(self.tail)
            self.account.replayed += max(0, again - waited)
            self.account.in_doubt += max(0, echoes - again)  # the tail was forgotten meanwhile

    def _left(self) -> None:
        """Messages have left at the head."""
        head = self.head
        self.spooling.left(head)
        self.debts.secured(head)
        self.save()
        self.wake()

    def _weigh(self, messages: int, octets: int) -> None:
        self._memory.change(self, cost(messages, octets))

    def wake(self) -> None:
        """Whoever waits is to look again. Asking if anybody does is a tenth of telling nobody."""
        if self._arrival:
            self._arrival.unpark_all()  # the window may be open again
        if self._room and not self.blocked:
            self._room.unpark_all()
        if self._emptied and self.is_empty:
            self._emptied.unpark_all()
