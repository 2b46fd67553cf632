"""Which of several destinations has which senders' messages, so that their order is kept.

Senders are in slots, by a checksum: a slot is all that has to be remembered, however many senders
there are. All of a slot's messages that are on their way are with one destination. To move it,
its new messages are kept back until those have been settled.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from relay.core.batch import Batch
from relay.core.portion import Portion

SLOTS = 256


class Taker(Protocol):
    """A destination that takes messages now."""

    owned: int  # slots
    weight: float  # it is to own this part of them, compared with the others

    def give(self, portion: Portion) -> None:
        """It is to have this portion, after those that it has."""


@dataclass(slots=True, eq=False, repr=False)
class _Slot:
    """Invariant: while `out` is not 0, `holder` has these portions; only then any are kept back."""

    owner: Taker | None = None  # gets what is new
    holder: Taker | None = None
    out: int = 0  # portions with messages of this slot that are not settled
    kept_back: deque[Portion] = field(default_factory=deque)


class Slots:
    """Invariant: `taker.owned` is how many slots a taker owns."""

    def __init__(self) -> None:
        self.takers: list[Taker] = []
        self._slots = [_Slot() for _ in range(SLOTS)]

    def join(self, taker: Taker) -> None:
        """One more; it gets its share of the slots that have been used so far."""
        self.takers.append(taker)
        self._level(taker)

    def level(self) -> None:
        """The weights have changed."""
        for taker in self.takers:
            self._level(taker)

    def leave(self, taker: Taker) -> None:
        """One less; what it had has to be routed again, and then `resume` called."""
        self.takers.remove(taker)
        for slot in self._slots:
            if slot.owner is taker:
                self._assign(slot, None)
            if slot.holder is taker:
                slot.holder, slot.out = None, 0

    def resume(self) -> None:
        """Give what was kept back to those who have what was before it."""
        for slot in self._slots:
            if slot.kept_back and (not slot.out or slot.holder is slot.owner):
                self._release(slot)

    def clear(self) -> None:
        """Nothing is on its way any more."""
        for slot in self._slots:
            slot.holder, slot.out = None, 0
            slot.kept_back.clear()

    def route(self, portion: Portion, *, again: bool = False) -> Mapping[Taker, Portion]:
        """Who is to have which part of it now. Some of it may be kept back.

        Not so `again`: what another one has had is older than all that is kept back, and goes
        where the messages behind it are. There must be takers.
        """
        routed: dict[Taker, Portion] = {}
        places_of = _by_slot(portion.batch)
        takers = {slot: self._taker(self._slots[slot], again) for slot in places_of}
        groups: dict[object, list[int]] = {}
        for number, taker in takers.items():
            groups.setdefault(taker or number, []).append(number)
        for numbers in groups.values():
            if len(groups) == 1:
                whole = Portion(portion.batch, portion.spread, portion.places, numbers)
                self._hand_out(whole, takers[numbers[0]], routed)
                return routed
            places = sorted(place for number in numbers for place in places_of[number])
            part = Portion(
                portion.batch.select(places),
                portion.spread,
                [portion.places[place] for place in places],
                numbers,
            )
            self._hand_out(part, takers[numbers[0]], routed)
        return routed

    def split(self, portion: Portion) -> None:
        """There are two of it from now on."""
        for number in portion.slots:
            self._slots[number].out += 1

    def settled(self, portion: Portion) -> None:
        """All of it has left; what was kept back behind it may go."""
        for number in portion.slots:
            slot = self._slots[number]
            slot.out -= 1
            if not slot.out and slot.kept_back:
                self._release(slot)

    def _level(self, taker: Taker) -> None:
        """Give it what it has too few of, from those who have too many."""
        part = sum(it.owned for it in self.takers) / sum(it.weight for it in self.takers)
        for slot in self._slots:
            if taker.owned >= int(part * taker.weight):
                break
            if slot.owner is not None and slot.owner.owned > int(part * slot.owner.weight):
                self._assign(slot, taker)

    def _taker(self, slot: _Slot, again: bool) -> Taker | None:
        """Who gets messages of this slot now; None: they are kept back."""
        if slot.owner is None:
            self._assign(slot, min(self.takers, key=_fullness))
        if not slot.out:
            slot.holder = slot.owner
        free = slot.holder is slot.owner and not slot.kept_back
        return slot.holder if again or free else None

    def _hand_out(
        self, portion: Portion, taker: Taker | None, routed: dict[Taker, Portion]
    ) -> None:
        if taker is None:
            [number] = portion.slots
            self._slots[number].kept_back.append(portion)
            return
        self.split(portion)
        routed[taker] = portion

    def _release(self, slot: _Slot) -> None:
        if not self.takers:
            return
        taker = self._taker(slot, again=True)
        assert taker is not None
        while slot.kept_back:
            portion = slot.kept_back.popleft()
            slot.out += 1
            taker.give(portion)

    @staticmethod
    def _assign(slot: _Slot, taker: Taker | None) -> None:
        if slot.owner is not None:
            slot.owner.owned -= 1
        slot.owner = taker
        if taker is not None:
            taker.owned += 1


def _fullness(taker: Taker) -> float:
    """After one more slot, so that who counts little is not the first to get one."""
    return (taker.owned + 1) / taker.weight


def slot_of(listener: str, sender: str) -> int:
    """A connection has one listener and one sender, so all of its messages are in one slot."""
    return crc32(f"{listener} {sender}".encode("utf-8", "surrogatepass")) % SLOTS


def _by_slot(batch: Batch) -> Mapping[int, Sequence[int]]:
    """The places of the messages by slot. A batch off a connection has one sender."""
    senders, first = batch.senders, batch.senders[0]
    if senders.count(first) == len(senders):
        return {slot_of(batch.listener, first): range(len(senders))}
    number_of = {sender: slot_of(batch.listener, sender) for sender in dict.fromkeys(senders)}
    places_of: dict[int, list[int]] = {}
    for place, sender in enumerate(senders):
        places_of.setdefault(number_of[sender], []).append(place)
    return places_of
