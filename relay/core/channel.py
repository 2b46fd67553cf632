"""The channel: a pipe's bounded buffer in memory, and the lease under which a delivery empties it.

Putting never waits and always takes the whole batch or none of it. Leaving a lease, however that
happens, puts what was lent and not settled back in front, in order. A spool will stand behind
`put` and `lend`: what calls them will not see a difference.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import trio

from relay.core.account import Drop, Held, PipeAccount
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.lease import Lease
from relay.core.memory import Memory, cost

TURN_OCTETS = 256 << 10  # one turn of one task handles no more, so that nobody else waits long


class Channel:
    """A pipe's buffer.

    Invariants, after every call:

    - `received + recovered == filtered + delivered + Σ dropped + held` in the account;
    - `held` is what the two queues really contain;
    - no more than one batch above its bounds, and one notice.
    """

    def __init__(self, account: PipeAccount, bounds: Bounds, memory: Memory) -> None:
        self.account = account
        self.departed = 0  # messages that ever left at the head: names the message there
        self.stopping = False  # the relay stops: what finds no room here has no later chance
        self._closing: Drop | None = None
        self.recalled = 0  # messages put back when the last lease was left
        self._bounds = bounds
        self._memory = memory
        self._waiting: deque[Batch] = deque()
        self._lent: deque[Batch] = deque()
        self._settled = 0  # of the oldest lent batch, messages already settled
        self._waiting_messages = 0
        self._lent_messages = 0
        self._octets = 0
        self._notices = 0  # batches here that tell of losses
        self._careful = 0  # messages still to be lent one by one, after an unexpected failure
        self._leased = False
        self._arrival = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._emptied = trio.lowlevel.ParkingLot()
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
            self.account.drop(len(batch), self.closing, notice=batch.notice)
            return
        if full is None:
            full = self.full
        if full and self._bounds.overflow == "drop-oldest":
            self._drop_oldest()
            full = self.full
        if full and not (batch.notice and not self._notices):
            waits = self.stopping and self._bounds.overflow == "block"
            reason = Drop.SHUTDOWN if waits else Drop.FULL
            self.account.drop(len(batch), reason, notice=batch.notice)
            return
        if batch.receipt and self.keeps:
            batch.receipt.owe(len(batch))
        elif batch.receipt:
            batch = replace(batch, receipt=None)  # only who owes pays, whatever `bound` says later
        self._waiting.append(batch)
        self._waiting_messages += len(batch)
        self._weigh(len(batch), batch.octets)
        self._notices += batch.notice
        self._arrival.unpark_all()

    async def room(self) -> None:
        """Wait while the channel is full and must not drop.

        Returns without another checkpoint after it has looked: what the caller reads and puts
        before its next `await` finds the room that was seen.
        """
        while self.blocked:
            await self._room.park()

    @property
    def closing(self) -> Drop | None:
        """Set: nothing is taken any more, and what is put is dropped for this reason."""
        return self._closing

    @closing.setter
    def closing(self, reason: Drop | None) -> None:
        self._closing = reason
        self._wake()  # nobody is to wait for room here

    @property
    def blocked(self) -> bool:
        return self._bounds.overflow == "block" and self.full

    @property
    def full(self) -> bool:
        if self.closing is not None:
            return False  # `put` has its answer
        messages = self._waiting_messages + self._lent_messages
        return (
            messages >= self._bounds.messages
            or cost(messages, self._octets) >= self._bounds.memory
            or self._memory.exhausted(self)
        )

    @property
    def keeps(self) -> bool:
        """True when no policy of this pipe drops a message that holds a receipt."""
        return self._bounds.overflow == "block"

    # -- the delivery's side

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Hold the channel, one at a time; leaving, however, recalls in order what was lent."""
        assert not self._leased, "a channel has one delivery"
        self._leased = True
        lease = Lease(self)
        try:
            yield lease
        finally:
            lease.close()
            self._leased = False
            self._recall()
            self._arrival.unpark_all()  # who still waits under this lease hears that it was left

    # -- the supervisor's side

    def bound(self, bounds: Bounds) -> None:
        """Other bounds from now on; what is held above them stays."""
        self._bounds = bounds
        self._wake()

    def drop_all(self, reason: Drop) -> int:
        """Drop what is waiting; return how many messages that were. No lease may be held."""
        assert not self._leased
        dropped = self._waiting_messages
        while self._waiting:
            batch = self._waiting.popleft()
            self._leave(batch, len(batch), batch.octets)
            self._waiting_messages -= len(batch)
            self.account.drop(len(batch), reason, notice=batch.notice)
        self._wake()
        return dropped

    def refuse_head(self, reason: Drop) -> None:
        """Drop the message at the head, on which deliveries keep failing. No lease may be held."""
        assert not self._leased
        if self._waiting:
            self._lend_one()
            self._refuse(1, reason)

    async def empty(self) -> None:
        """Wait until nothing is held."""
        while self._waiting_messages or self._lent_messages:
            await self._emptied.park()

    def be_careful(self, messages: int) -> None:
        """Lend the next messages one by one: among them is one that a delivery fails on."""
        self._careful = max(self._careful, messages)

    def close(self) -> None:
        """Give the memory back. Nothing may be held any more."""
        assert not self._waiting_messages + self._lent_messages
        self._memory.leave(self)

    def freed(self) -> None:
        """There may be more of the shared memory."""
        if not self.blocked:
            self._room.unpark_all()

    def held(self) -> Held:
        oldest = (self._lent or self._waiting or (None,))[0]
        return Held(
            memory=self._waiting_messages,
            lent=self._lent_messages,
            octets=self._octets,
            oldest_ns=oldest.received_ns if oldest else None,
        )

    def recount(self) -> Held:
        """The same as `held`, counted from the queues: what tests compare it with."""
        waiting = sum(len(batch) for batch in self._waiting)
        lent = sum(len(batch) for batch in self._lent) - self._settled
        octets = sum(batch.octets for batch in (*self._lent, *self._waiting))
        if self._lent:
            octets -= sum(map(len, self._lent[0].messages[: self._settled]))
        return Held(waiting, lent, octets, self.held().oldest_ns)

    # -- below: the queues

    def _drop_oldest(self) -> None:
        while self._waiting and self.full:
            batch = self._waiting.popleft()
            self._waiting_messages -= len(batch)
            self._leave(batch, len(batch), batch.octets)
            self.account.drop(len(batch), Drop.OLDEST, notice=batch.notice)

    def _lend(self, messages_max: int) -> list[Batch]:
        if self._careful:
            self._lend_one()
            return [self._lent[-1]]
        taken: list[Batch] = []
        messages = octets = 0
        while self._waiting:
            batch = self._waiting[0]
            messages += len(batch)
            octets += batch.octets
            beyond = messages > messages_max or octets > TURN_OCTETS
            if beyond and taken:
                break
            if len(batch) > messages_max:
                batch = self._split_head(messages_max)
            taken.append(self._waiting.popleft())
            self._waiting_messages -= len(batch)
            self._lent.append(batch)
            self._lent_messages += len(batch)
        return taken

    def _lend_one(self) -> None:
        batch = self._split_head(1) if len(self._waiting[0]) > 1 else self._waiting[0]
        self._waiting.popleft()
        self._waiting_messages -= 1
        self._lent.append(batch)
        self._lent_messages += 1

    def _split_head(self, messages: int) -> Batch:
        """Make the first so many messages of the oldest waiting batch one of their own."""
        batch = self._waiting.popleft()
        self._waiting.appendleft(batch.part(messages))
        self._waiting.appendleft(batch.part(0, messages))
        self._notices += batch.notice  # there are two batches now
        return self._waiting[0]

    def _refuse(self, messages: int, reason: Drop) -> None:
        notices = self._shift(messages)
        if messages > notices:
            self.account.drop(messages - notices, reason)
        if notices:
            self.account.drop(notices, reason, notice=True)

    def _shift(self, messages: int) -> int:
        """The oldest lent messages leave; returns how many of them were notices."""
        assert 0 <= messages <= self._lent_messages, "more settled than lent"
        notices = 0
        self._lent_messages -= messages
        self._careful = max(0, self._careful - messages)
        while messages:
            batch = self._lent[0]
            part = min(messages, len(batch) - self._settled)
            whole = part == len(batch)
            end = self._settled + part
            octets = batch.octets if whole else sum(map(len, batch.messages[self._settled : end]))
            if end == len(batch):
                self._lent.popleft()
                self._settled = 0
                self._leave(batch, part, octets)
            else:
                self._settled = end
                self.departed += part
                self._weigh(-part, -octets)
                if batch.receipt:
                    batch.receipt.pay(part)
            messages -= part
            notices += part * batch.notice
        self._wake()
        return notices

    def _recall(self) -> None:
        self.recalled = self._lent_messages
        if not self._lent:
            return
        self.account.retried += self._lent_messages
        self._waiting_messages += self._lent_messages
        self._lent_messages = 0
        if self._settled:
            self._lent[0] = self._lent[0].part(self._settled)
            self._settled = 0
        self._waiting.extendleft(reversed(self._lent))
        self._lent.clear()

    def _leave(self, batch: Batch, messages: int, octets: int) -> None:
        """The last messages of this batch are gone."""
        self._notices -= batch.notice
        self.departed += messages
        self._weigh(-messages, -octets)
        if batch.receipt:
            batch.receipt.pay(messages)

    def _weigh(self, messages: int, octets: int) -> None:
        self._octets += octets
        self._memory.change(self, cost(messages, octets))

    def _wake(self) -> None:
        self._arrival.unpark_all()  # the window may be open again
        if not self.blocked:
            self._room.unpark_all()
        if not self._waiting_messages + self._lent_messages:
            self._emptied.unpark_all()
