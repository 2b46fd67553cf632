"""Memory rings: the newest messages of a `memory` destination, bounded in octets."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from relay.core.memory import MESSAGE_OVERHEAD

# A deque of lines would walk to its middle: 56 ms for a read of 256 in 4 million. One of blocks
# has 32,000 entries at the largest ring, which is a walk of 0.5 µs.
BLOCK_LINES = 512


@dataclass(slots=True, eq=False, repr=False)
class Lines:
    """A queue that can be read anywhere.

    Invariant: all blocks but the last are full; of the first, `gone` lines have left.
    """

    blocks: deque[list[bytes]] = field(default_factory=deque)
    gone: int = 0

    def __len__(self) -> int:
        blocks = self.blocks
        return (len(blocks) - 1) * BLOCK_LINES + len(blocks[-1]) - self.gone if blocks else 0

    def __iter__(self) -> Iterator[bytes]:
        oldest = self.blocks[0][self.gone :] if self.blocks else ()
        return chain(oldest, chain.from_iterable(islice(self.blocks, 1, None)))

    def extend(self, lines: Sequence[bytes]) -> None:
        taken = 0
        while taken < len(lines):
            if not self.blocks or len(self.blocks[-1]) == BLOCK_LINES:
                self.blocks.append([])
            last = self.blocks[-1]
            room = BLOCK_LINES - len(last)
            last += lines[taken : taken + room]
            taken += room

    def drop(self, count: int) -> None:
        """The oldest so many leave; there must be so many."""
        while count:
            block = self.blocks[0]
            part = min(count, len(block) - self.gone)
            self.gone += part
            count -= part
            if self.gone == len(block):
                self.blocks.popleft()
                self.gone = 0
            else:  # their memory is free before the block's
                block[self.gone - part : self.gone] = [b""] * part

    def between(self, start: int, stop: int) -> list[bytes]:
        """As a slice of a list; neither end is negative."""
        found: list[bytes] = []
        place, end = start + self.gone, min(stop, len(self)) + self.gone
        while place < end:
            number, offset = divmod(place, BLOCK_LINES)
            part = self.blocks[number][offset : offset + end - place]
            found += part
            place += len(part)
        return found


@dataclass(slots=True, eq=False, repr=False)
class Ring:
    """Invariant: `octets` counts what `lines` hold, at most `octets_max` from two lines on."""

    octets_max: int
    octets: int = 0
    overwritten: int = 0
    overwritten_before: int = 0  # of those, before it was cleared the last time
    first: int = 0  # number of the oldest line here; numbers are never used again
    lines: Lines = field(default_factory=Lines)

    def append(self, lines: Sequence[bytes]) -> None:
        self.lines.extend(lines)
        self.octets += sum(map(len, lines)) + MESSAGE_OVERHEAD * len(lines)
        self._trim()

    def resize(self, octets_max: int) -> None:
        self.octets_max = octets_max
        self._trim()

    @property
    def overflowed(self) -> bool:
        """Whether lines were overwritten since it was cleared."""
        return self.overwritten > self.overwritten_before

    def clear(self, before: int) -> int:
        """Take the lines below this number away; returns how many those were.

        What was overwritten from that number on has nobody seen: it has still overflowed.
        """
        unseen = max(0, self.first - before)
        gone = max(0, min(before - self.first, len(self.lines)))
        octets = sum(map(len, islice(self.lines, gone)))
        self.lines.drop(gone)
        self.octets -= octets + MESSAGE_OVERHEAD * gone
        self.first += gone
        self.overwritten_before = max(self.overwritten_before, self.overwritten - unseen)
        return gone

    def since(self, number: int, lines_max: int) -> tuple[int, list[bytes]]:
        """At most so many lines from `number` on, and the number of the first one returned.

        That is later than asked for when lines in between were overwritten.
        """
        start = max(number, self.first)
        offset = start - self.first
        return start, self.lines.between(offset, offset + lines_max)

    def _trim(self) -> None:
        excess = self.octets - self.octets_max
        if excess <= 0:
            return
        gone = freed = 0
        for line in islice(self.lines, max(0, len(self.lines) - 1)):
            if freed >= excess:
                break
            freed += len(line) + MESSAGE_OVERHEAD
            gone += 1
        self.lines.drop(gone)
        self.octets -= freed
        self.overwritten += gone
        self.first += gone


@dataclass(slots=True, eq=False, repr=False)
class Rings:
    """The rings of all `memory` destinations by name; they outlive a reload."""

    rings: dict[str, Ring] = field(default_factory=dict)
    _overwritten: dict[str, int] = field(default_factory=dict)  # of forgotten ones: it never falls

    def ring(self, name: str, octets_max: int) -> Ring:
        ring = self.rings.get(name)
        if ring is None:
            overwritten = self._overwritten.pop(name, 0)
            ring = self.rings[name] = Ring(
                octets_max, overwritten=overwritten, overwritten_before=overwritten
            )
        elif ring.octets_max != octets_max:
            ring.resize(octets_max)
        return ring

    def keep_only(self, names: Sequence[str]) -> None:
        """Forget the rings of destinations that are no longer configured."""
        for name in self.rings.keys() - set(names):
            self._overwritten[name] = self.rings.pop(name).overwritten
