"""What of a row of numbers was received: holes in it, and what came twice."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HOLES_MAX = 256  # of each kind; 100 octets each

Range = tuple[int, int]  # from the first number to the one behind the last


class Hole(NamedTuple):
    first: int
    end: int
    since: float  # when what is behind it came


@dataclass(slots=True, eq=False, repr=False)
class Numbering:
    """The numbers of one epoch of an upstream.

    Invariant: each number from `start` to `next` was received, is in a hole, or was in one that
    is forgotten: at most `holes_max` are `given_up`. What is below `start` was before our time.
    Holes are apart, and rise.
    """

    start: int
    next: int
    holes_max: int = HOLES_MAX
    fresh: list[Hole] = field(default_factory=list)  # may still be filled by what was overtaken
    given_up: list[Hole] = field(default_factory=list)  # told as missing

    def take(self, first: int, end: int, now: float) -> tuple[Sequence[Range], int]:
        """These numbers came. Returns those that were here already, and how many came late."""
        if first > self.next:
            self.fresh.append(Hole(self.next, first, now))
        if first >= self.next:
            self.next = end
            return (), 0
        rest: list[Range] = [(max(first, self.start), min(end, self.next))]
        self.next = max(self.next, end)
        self.fresh, rest, _ = _fill(self.fresh, rest)
        given_up, rest, late = _fill(self.given_up, rest)
        self.given_up = given_up[-self.holes_max :]  # one in pieces is several
        return rest, late

    @property
    def crowded(self) -> bool:
        """There are so many holes that some have to be given up now."""
        return len(self.fresh) > 2 * self.holes_max

    def give_up(self, until: float) -> Sequence[Range]:
        """The holes that are there since then or longer, and those that are too many: missing."""
        due = [hole for hole in self.fresh if hole.since <= until]
        if len(self.fresh) - len(due) > self.holes_max:
            due = self.fresh[: -self.holes_max]
        if due:
            gone = {hole.first for hole in due}
            self.fresh = [hole for hole in self.fresh if hole.first not in gone]
            self.given_up = [*self.given_up, *due][-self.holes_max :]
        return [(hole.first, hole.end) for hole in due]


def _fill(holes: list[Hole], ranges: list[Range]) -> tuple[list[Hole], list[Range], int]:
    """The holes without these ranges, the ranges without the holes, and what they share."""
    filled = 0
    rest: list[Range] = []
    for first, end in ranges:
        low = bisect_right(holes, first, key=lambda hole: hole.end)
        high = bisect_left(holes, end, key=lambda hole: hole.first)
        kept: list[Hole] = []
        at = first
        for hole in holes[low:high]:
            begin, stop = max(hole.first, first), min(hole.end, end)
            filled += stop - begin
            if at < begin:
                rest.append((at, begin))
            at = stop
            if hole.first < begin:
                kept.append(Hole(hole.first, begin, hole.since))
            if stop < hole.end:
                kept.append(Hole(stop, hole.end, hole.since))
        if low < high:
            holes = [*holes[:low], *kept, *holes[high:]]
        if at < end:
            rest.append((at, end))
    return holes, rest, filled
