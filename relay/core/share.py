"""A share: the lease of one of several destinations that have a channel together."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import trio

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.batch import TURN_OCTETS, Batch
from relay.core.health import Health
from relay.core.lease import LEND_MESSAGES, WINDOW_MESSAGES, WINDOW_OCTETS
from relay.core.portion import Portion
from relay.core.queue import Entry
from relay.core.tail import Tail


class Sharer(Protocol):
    """Who hands out the shares."""

    @property
    def account(self) -> PipeAccount: ...

    @property
    def full(self) -> bool:
        """No more than what it has given is to be had, before the oldest of all has left."""

    @property
    def owes(self) -> bool:
        """A sender waits to be told that a message of the channel is secured."""

    @property
    def waiting(self) -> bool:
        """There is something that nobody has been given."""

    def take(self, share: "Share") -> None:
        """This one lends from now on, and has nothing waiting."""

    def split(self, portion: Portion) -> None: ...

    def settled(self, portion: Portion) -> None: ...

    def pass_on(self) -> None:
        """More is known of what has become of messages."""


class Share:
    """Invariant: `lent` is what `_out` contains, without the part of its first that has left."""

    def __init__(self, sharer: Sharer, health: Health, tail: Tail, end: Callable[[], None]) -> None:
        self.owned = 0  # slots
        self.weight = 1.0
        self.lent = 0
        self.hungry = False  # waits for messages
        self.given_up = False
        self.replays = False
        self.end = end  # of the attempt, as a stop does it
        self._sharer = sharer
        self._health = health
        self._tail = tail
        self._inbox: deque[Portion] = deque()
        self._out: deque[Portion] = deque()
        self._out_octets = 0  # of whole portions
        self._gone = 0  # messages of the oldest portion that have left
        self._left = False
        self._arrival = trio.lowlevel.ParkingLot()

    @property
    def full(self) -> bool:
        return not self._window_open or (not self._inbox and self._sharer.full)

    @property
    def owes(self) -> bool:
        return self._sharer.owes

    @property
    def waiting(self) -> bool:
        return bool(self._inbox) or self._sharer.waiting

    async def lend(
        self, messages_max: int = LEND_MESSAGES, octets_max: int = TURN_OCTETS
    ) -> Sequence[Batch]:
        self._check()
        await trio.lowlevel.checkpoint()
        while not (self._inbox and self._window_open):
            self._check()
            if not self._inbox:
                self.hungry = True
                self._sharer.take(self)
            try:
                await self._arrival.park()
            finally:
                self.hungry = False
        return self._lend(max(1, min(messages_max, WINDOW_MESSAGES - self.lent)), octets_max)

    def settle(self, messages: int, level: Confirmation) -> None:
        for portion in self._shift(messages):
            if portion.spread is not None:
                portion.spread.settle(portion.places, level)
                self._health.delivered += len(portion.batch)
            if self._tail.octets_max and level is Confirmation.ACKED:
                self._tail.keep([Entry(0, portion.batch)])
        self._sharer.pass_on()

    def refuse(self, messages: int, reason: Drop, why: str = "") -> None:
        for portion in self._shift(messages):
            if portion.spread is not None:
                portion.spread.refuse(portion.places, reason, why, self._health.destination)
        self._sharer.pass_on()

    def keep(self, octets: int) -> None:
        self._tail.resize(octets)

    def replay(self) -> int:
        self.replays = True
        return sum(len(entry.batch) for entry in self._tail)

    def forget(self) -> None:
        if not any(portion.echo for portion in (*self._out, *self._inbox)):
            self._tail.forget()

    # -- what the sharer says

    def give(self, portion: Portion) -> None:
        """One more, behind those that it has."""
        self._inbox.append(portion)
        self._arrival.unpark_all()

    def give_first(self, portions: Sequence[Portion]) -> None:
        """These are older than all that it has not lent."""
        self._inbox.extendleft(reversed(portions))
        self._arrival.unpark_all()

    def wake(self) -> None:
        """It is to say again that it takes messages, if it waits for some."""
        self._arrival.unpark_all()

    def close(self) -> tuple[Sequence[Portion], Sequence[Portion]]:
        """It is left: what it had in hand, the tail included if it is to come again, and the rest.

        Used after this, it raises.
        """
        self._left = True
        in_hand: list[Portion] = []
        if self.replays:
            in_hand = [Portion(it.batch, None, range(len(it.batch)), ()) for it in self._tail]
            self._tail.forget()
        if self._out and self._gone:
            self._out[0] = self._out[0].part(self._gone)
        in_hand += self._out
        rest = list(self._inbox)
        self._out.clear()
        self._inbox.clear()
        self.lent = self._gone = self._out_octets = 0
        self._arrival.unpark_all()
        return in_hand, rest

    # -- below

    @property
    def _window_open(self) -> bool:
        return not self.lent or (self.lent < WINDOW_MESSAGES and self._out_octets < WINDOW_OCTETS)

    def _lend(self, messages_max: int, octets_max: int) -> Sequence[Batch]:
        """As a channel lends: so many messages, or one batch of more octets."""
        batches: list[Batch] = []
        messages = octets = 0
        while self._inbox:
            batch = self._inbox[0].batch
            if batches and octets + batch.octets > octets_max:
                break
            if messages + len(batch) > messages_max:
                if batches:
                    break
                self._split_first(messages_max)
            portion = self._inbox.popleft()
            self._out.append(portion)
            batches.append(portion.batch)
            messages += len(portion.batch)
            octets += portion.batch.octets
            if portion.echo:
                self._sharer.account.replayed += len(portion.batch)
        self.lent += messages
        self._out_octets += octets
        return batches

    def _split_first(self, messages: int) -> None:
        portion = self._inbox.popleft()
        self._inbox.appendleft(portion.part(messages))
        self._inbox.appendleft(portion.part(0, messages))
        self._sharer.split(portion)

    def _shift(self, messages: int) -> Iterable[Portion]:
        """So many of the oldest lent ones leave."""
        assert 0 <= messages <= self.lent, "more settled than lent"
        self.lent -= messages
        leaving = []
        while messages:
            portion = self._out[0]
            part = min(messages, len(portion.batch) - self._gone)
            if part == len(portion.batch):
                leaving.append(portion)
            else:
                leaving.append(portion.part(self._gone, self._gone + part))
            self._gone += part
            if self._gone == len(portion.batch):
                self._out.popleft()
                self._out_octets -= portion.batch.octets
                self._gone = 0
                self._sharer.settled(portion)
            messages -= part
        self._arrival.unpark_all()  # the window may be open again
        return leaving

    def _check(self) -> None:
        if self._left:
            raise RuntimeError("this lease was left")
