"""Who sends how much: the busiest senders of a listener, in bounded memory.

The Space-Saving sketch (Metwally, Agrawal, El Abbadi 2005): `TALKERS_MAX` senders are counted; one
more takes the place of the one that counts least, and inherits its count as a possible error. With
N messages in all, no count is wrong by more than N / `TALKERS_MAX`, and who has sent more than that
is among them. Counts are halved every ten minutes, so that who was busy yesterday makes room.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.expected import Expected
from relay.wire.message import view

TALKERS_MAX = 1000  # 0.6 MB a listener
HALVED_SECONDS = 600.0
TICK_SECONDS = 10.0
SMOOTHING = 0.154  # of a tick: rates are those of the last minute, 1 - exp(-10 / 60)
LOOKS_MAX = 1000  # headers read in a tick: 5 ms of work


@dataclass(slots=True, eq=False, repr=False)
class Talker:
    """One sender.

    It has sent at least `weight - error` and at most `weight`, halvings included; `messages` were
    seen since it got its place.
    """

    name: str
    weight: float
    error: float
    messages: int
    since: float
    last: float
    rate: float = 0.0  # messages a second
    recent: int = 0  # messages since the last tick
    dialect: str = ""  # of a message in this tick or an earlier one
    looked: bool = False  # in this tick


@dataclass(slots=True, eq=False, repr=False)
class Senders:
    """Counts them.

    Invariant: at most `talkers_max` talkers, each with one place in the heap, which is not above
    its weight; `total` is the sum of what came, halvings included.
    """

    talkers_max: int = TALKERS_MAX
    expected: Expected = field(default_factory=Expected)
    total: float = 0.0
    _talkers: dict[str, Talker] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)
    _looks: int = 0
    _ticked_at: float | None = None
    _halved_at: float | None = None

    def look(self, messages: Sequence[bytes], senders: Sequence[str], now: float) -> None:
        """Count a batch: 10 ns a message of one sender, 50 of several, and 0.5 µs a sender."""
        first = senders[0]
        if senders.count(first) == len(senders):
            self._count(first, len(senders), messages, senders, now)
        else:
            for sender, number in Counter(senders).items():
                self._count(sender, number, messages, senders, now)
        if self.expected.names:
            self.expected.look(messages, senders, now)

    def tick(self, now: float) -> None:
        """Bring the rates up to date; call it once a second."""
        if self._ticked_at is None or self._halved_at is None:
            self._ticked_at = self._halved_at = now
        passed = now - self._ticked_at
        if passed < TICK_SECONDS:
            return
        self._ticked_at = now
        self._looks = 0
        for talker in self._talkers.values():
            rate = talker.recent / passed
            new = talker.rate == 0.0
            talker.rate = rate if new else talker.rate + SMOOTHING * (rate - talker.rate)
            talker.recent = 0
            talker.looked = False
        if now - self._halved_at >= HALVED_SECONDS:
            self._halved_at = now
            self._halve()

    def top(self, count: int) -> list[Talker]:
        """The busiest, the one with the greatest weight first."""
        return heapq.nlargest(count, self._talkers.values(), key=lambda it: it.weight)

    def __len__(self) -> int:
        return len(self._talkers)

    def _count(
        self, sender: str, number: int, messages: Sequence[bytes], senders: Sequence[str],
        now: float,
    ) -> None:  # fmt: skip
        self.total += number
        talker = self._talkers.get(sender)
        if talker is None:
            talker = self._meet(sender, now)
        talker.weight += number
        talker.messages += number
        talker.recent += number
        talker.last = now
        if not talker.looked and self._looks < LOOKS_MAX:
            self._looks += 1
            talker.looked = True
            talker.dialect = view(messages[senders.index(sender)]).dialect

    def _meet(self, sender: str, now: float) -> Talker:
        error = 0.0
        if len(self._talkers) >= self.talkers_max:
            error = self._evict()
        talker = self._talkers[sender] = Talker(sender, error, error, 0, now, now)
        heapq.heappush(self._heap, (error, sender))
        return talker

    def _evict(self) -> float:
        """Take out the one of the least weight, and return that.

        A place in the heap may be old: then it is renewed. It was left alone when the weight grew,
        so that this costs no more than the growing would have.
        """
        while True:
            weight, sender = self._heap[0]
            talker = self._talkers[sender]
            if talker.weight > weight:
                heapq.heapreplace(self._heap, (talker.weight, sender))
                continue
            heapq.heappop(self._heap)
            del self._talkers[sender]
            return weight

    def _halve(self) -> None:
        self.total /= 2
        for talker in self._talkers.values():
            talker.weight /= 2
            talker.error /= 2
        self._heap = [(talker.weight, talker.name) for talker in self._talkers.values()]
        heapq.heapify(self._heap)
