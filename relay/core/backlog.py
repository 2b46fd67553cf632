"""What of a channel is on disk, or on its way there; a spool's task does the work.

    settled … gap ………………………… committed … next
              └ only here: to be read before it is lent
                                └ unwritten: in memory until it is durable

The numbers on disk are one ascending run. Plain state without a disk: the channel fills it, and the
spool's task writes `unwritten` and says how far that has come.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import trio

from relay.core.memory import cost
from relay.core.queue import Entry

SpoolMode = Literal["always", "overflow", "never"]


class Lost(NamedTuple):
    """Numbers that the disk cannot give back: damage, found when it was read."""

    first: int
    messages: int
    what: str


class Segment(NamedTuple):
    """A file of the spool: the numbers from `first` to `end`."""

    first: int
    end: int
    octets: int


class Spool(Protocol):
    """The disk behind a backlog."""

    async def read(self, first: int, octets_max: int) -> Sequence[Entry | Lost]:
        """From this number on, in order, what is written; at least one unless there is nothing.

        Cancelled: nothing has changed.

        Raises:
            OSError: the disk fails; try again later.
        """


@dataclass(slots=True, eq=False, repr=False)
class Backlog:
    """Invariants: `unwritten` rises, and nothing in it is below `committed`.

    `gap` is where the messages begin that are not in the queue, None when it has all;
    `gap_messages` is how many those are.
    """

    mode: SpoolMode
    octets_max: int  # of the files
    active: bool = False  # everything put is to be written
    ready: bool = False  # the directory is open, and its old content is part of the channel
    failing: str = ""  # why the disk takes nothing now
    tried: bool = False  # a first attempt to open it is over
    spool: Spool | None = None
    unwritten: deque[Entry] = field(default_factory=deque)
    unwritten_messages: int = 0
    unwritten_octets: int = 0
    committed: int = 0  # everything below is durable
    gap: int | None = None
    gap_messages: int = 0
    octets: int = 0  # of the files, as the spool's task saw it last
    segments: Sequence[Segment] = ()  # of the disk, as the spool's task saw them last
    dropped: deque[Segment] = field(default_factory=deque)  # to be removed from the disk
    unbooked: dict[int, int] = field(default_factory=dict)  # of those by first number: messages
    no_room: bool = False  # what `failing` says is that the disk is full
    holes: Sequence[Segment] = ()  # dropped ones behind the oldest message held
    store: bytes = b""  # names what is on disk, wherever that lies
    given_up: tuple[int, int] = (0, 0)  # dropped, and perhaps on disk all the same
    draining: bool = False  # switched off: runs until nothing is held
    work: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def full(self, memory: int) -> bool:
        """Whether the disk is full, or too slow for what comes."""
        return self._unwritten_cost >= memory or self.disk_full

    def lags(self, memory: int) -> bool:
        """Whether the disk is so slow that what is delivered had better not be written any more."""
        return self._unwritten_cost >= memory // 2

    @property
    def _unwritten_cost(self) -> int:
        return cost(self.unwritten_messages, self.unwritten_octets)

    def lacks_room(self, memory: int) -> bool:
        """Whether the file system is full, much waits for it, and nothing was dropped for that."""
        return self.no_room and not self.dropped and self.lags(memory)

    @property
    def disk_full(self) -> bool:
        return self.octets + self.unwritten_octets >= self.octets_max

    def add(self, entry: Entry) -> None:
        """To be written."""
        self.unwritten.append(entry)
        self.unwritten_messages += len(entry.batch)
        self.unwritten_octets += entry.batch.octets
        self.work.unpark_all()

    def widen(self, entry: Entry) -> None:
        """The entry, the newest, is not in the queue."""
        if self.gap is None:
            self.gap = entry.first
        self.gap_messages += len(entry.batch)

    def pop_unwritten(self, number: int) -> list[Entry]:
        """Take out what ends at or below this number."""
        taken: list[Entry] = []
        while self.unwritten and self.unwritten[0].end <= number:
            entry = self.unwritten.popleft()
            self.unwritten_messages -= len(entry.batch)
            self.unwritten_octets -= entry.batch.octets
            taken.append(entry)
        return taken

    def only_here(self, entry: Entry) -> bool:
        """Whether an unwritten entry is in no queue."""
        return self.gap is not None and entry.first >= self.gap

    def pass_gap(self, number: int, messages: int) -> None:
        """So many messages below `number` are in the queue now, or lost."""
        self.gap_messages -= messages
        while hole := self.hole_at(number):
            number = hole.end
        self.gap = number if self.gap_messages else None

    def in_holes(self, first: int, end: int) -> int:
        """How many of these numbers are nowhere, because they were dropped or never used."""
        return sum(max(0, min(it.end, end) - max(it.first, first)) for it in self.holes)

    def hole_at(self, number: int) -> Segment | None:
        return next((it for it in self.holes if it.first <= number < it.end), None)

    def drop_segment(self, segment: Segment) -> int:
        """Take a segment out of the gap, wherever in it; returns how many messages it had there.

        Its numbers are skipped when the gap is read; the spool's task removes the file. Until then
        they would come again with the next process, so they are still held.
        """
        assert self.gap is not None
        dropped = segment.end - max(segment.first, self.gap)
        self.segments = [it for it in self.segments if it is not segment]
        self.octets -= segment.octets
        self.dropped.append(segment)
        self.unbooked[segment.first] = dropped
        self._add_hole(segment)
        self.pass_gap(self.gap, dropped)
        self.work.unpark_all()
        return dropped

    def give_up(self, first: int, end: int) -> None:
        """These numbers, the last, were dropped unwritten.

        They may be on disk all the same, or get there: a sync has failed, or a thread hangs.
        """
        self.holes = [*self.holes, Segment(first, end, 0)]
        before, before_end = self.given_up
        self.given_up = (before if before < before_end else first, end)

    def pop_dropped(self, segments: int) -> int:
        """So many of `dropped` are no longer on disk: the messages that leave with them."""
        gone = [self.dropped.popleft() for _ in range(segments)]
        return sum(self.unbooked.pop(segment.first, 0) for segment in gone)

    def pass_dropped(self, head: int) -> int:
        """No process looks for what is below the head: the messages that leave with that."""
        gone = [segment for segment in self.dropped if segment.end <= head]
        return sum(self.unbooked.pop(segment.first, 0) for segment in gone)

    def _add_hole(self, hole: Segment) -> None:
        """One more, joined with the last if it follows it, as mostly it does."""
        *others, last = self.holes or (hole,)
        if last.end == hole.first:
            self.holes = [*others, Segment(last.first, hole.end, 0)]
        else:
            self.holes = [*self.holes, hole]

    def trim_first(self, messages: int) -> None:
        """So many of the oldest unwritten entry have left already."""
        entry = self.unwritten.popleft()
        rest = entry.part(messages)
        self.unwritten.appendleft(rest)
        self.unwritten_messages -= messages
        self.unwritten_octets -= entry.batch.octets - rest.batch.octets

    def split_at(self, number: int) -> None:
        """Let an unwritten entry begin here, so that what is in the queue ends with another."""
        for place, entry in enumerate(self.unwritten):
            if entry.first < number < entry.end:
                self.unwritten[place] = entry.part(0, number - entry.first)
                self.unwritten.insert(place + 1, entry.part(number - entry.first))
                return


def complete(found: Sequence[Entry | Lost], first: int, end: int) -> Sequence[Entry | Lost]:
    """What was read from `first` on; where the disk skips what it should have, that is lost.

    It knows of holes that the channel does not when somebody has emptied its directory.
    """
    start = found[0].first if found else end
    if start <= first:
        return found
    return [Lost(first, min(start, end) - first, "numbers are missing"), *found]
