"""Reading a spool back: frames in the order of their numbers, damage as ranges."""

import contextlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from relay.core.batch import Batch
from relay.spool import segment
from relay.spool.holes import Holes, past
from relay.spool.recovery import Part
from relay.spool.salvage import Salvaging
from relay.spool.segment import FRAME_OCTETS, HEADER_OCTETS, Corrupt
from relay.system.ports import Directory, RandomFile

CHUNK_OCTETS = 1 << 20


class Stored(NamedTuple):
    """A batch, or the rest of one, and the number of its first message."""

    first: int
    batch: Batch

    @property
    def end(self) -> int:
        return self.first + len(self.batch)


class Damaged(NamedTuple):
    """Numbers that cannot be read any more."""

    first: int
    messages: int
    what: str
    missing: bool = False  # nothing of them is there, not even damaged octets

    @property
    def end(self) -> int:
        return self.first + self.messages


class Reader:
    """Keeps the file and the place of the last read, since reads follow each other.

    Invariant: `_at` is where the frame begins that holds number `_number`, or a later one.
    """

    def __init__(self, directory: Directory, salvaging: Salvaging | None = None) -> None:
        self._directory = directory
        self._salvaging = salvaging or Salvaging(directory)
        self._given_up: set[str] = set()
        self._name = ""
        self._file: RandomFile | None = None
        self._at = 0
        self._number = 0

    def forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        self._name = ""

    def give_up(self, parts: Sequence[Part], number: int) -> str:
        """Take what can be had of the segment with this number; returns its name."""
        self.forget()
        place = bisect_right(parts, number, key=lambda part: part.first) - 1
        name = parts[place].name if place >= 0 else ""
        self._given_up.add(name)
        return name

    def is_salvaged(self, part: Part) -> bool:
        """Whether the disk has not given all of it."""
        return part.name in self._salvaging.bad

    def directory(self, part: Part) -> Directory:
        """Through which to read it."""
        is_given_up = part.name in self._given_up or self.is_salvaged(part)
        return self._salvaging if is_given_up else self._directory

    def read(
        self,
        parts: Sequence[Part],
        holes: Holes,
        store: bytes,
        first: int,
        end: int,
        octets_max: int,
    ) -> list[Stored | Damaged]:
        """From `first` on, below `end`; at least one item unless there is nothing."""
        found: list[Stored | Damaged] = []
        octets = 0
        number = past(holes, first)
        while number < end and (octets < octets_max or not found):
            try:
                item = self._next(parts, holes, store, number, end)
            except OSError:
                self.forget()  # a file that is mended, or taken away, is to be opened anew
                if found:
                    break  # the fault is told when it stands at the head
                raise
            found.append(item)
            octets += item.batch.octets if isinstance(item, Stored) else 0
            number = past(holes, item.end)
        return found

    def _next(
        self, parts: Sequence[Part], holes: Holes, store: bytes, number: int, end: int
    ) -> Stored | Damaged:
        place = bisect_right(parts, number, key=lambda part: part.first) - 1
        if place < 0 or number >= parts[place].end or not parts[place].readable:
            after = parts[place + 1].first if place + 1 < len(parts) else end
            if place >= 0 and number < parts[place].end:
                after = parts[place].end
            if place < 0 or number >= parts[place].end:
                what, missing = "a segment is missing", True
            else:
                what, missing = f"{parts[place].name} is of a newer version", False
            return _damaged(holes, number, min(after, end), what, missing=missing)
        return self._in_part(parts[place], holes, store, number)

    def _in_part(self, part: Part, holes: Holes, store: bytes, number: int) -> Stored | Damaged:
        self._go_to(part, number)
        assert self._file is not None
        at = self._at
        missing = True
        while at < part.octets:
            data, frame = self._frame_at(part, at, store)
            if frame is None:
                data = self._file.read(part.octets - at, at)
                frame = segment.next_frame(data, 1, store)
                stop = frame.start if frame else len(data)
                if any(data[:stop]):
                    missing = False
                    self._put_aside(f"{part.name}.{at}", data[:stop])
                at += stop
                if frame is None:
                    break
                data = data[frame.start : frame.end]
                frame = segment.find_frame(data, 0, store)
                assert frame is not None
            if frame.next <= number:
                at += frame.end - frame.start
                continue
            self._at = at
            if frame.first > number:
                # Behind the part's end there may be what was cut off, and is in the next one.
                return self._lost(part, holes, number, min(frame.first, part.end), missing=missing)
            try:
                batch = segment.decode(data, frame)
            except Corrupt as corrupt:
                self._at = at + frame.end - frame.start
                return _damaged(holes, number, frame.next, str(corrupt))
            self._at = at + frame.end - frame.start
            self._number = frame.next
            rest = batch.part(number - frame.first) if number > frame.first else batch
            return Stored(number, rest)
        self._at = at
        return self._lost(part, holes, number, part.end, missing=missing)

    def _lost(self, part: Part, holes: Holes, number: int, end: int, *, missing: bool) -> Damaged:
        if self.is_salvaged(part):
            return _damaged(holes, number, end, f"{part.name} cannot be read")
        what = f"missing behind {part.name}" if missing else f"in {part.name}"
        return _damaged(holes, number, end, what, missing=missing)

    def _put_aside(self, name: str, data: bytes) -> None:
        if self._name in self._salvaging.bad:
            return  # the whole file is kept
        with contextlib.suppress(OSError):  # a full disk must not stop what can be read
            self._directory.quarantine(name, data)

    def _frame_at(self, part: Part, at: int, store: bytes) -> tuple[bytes, segment.Frame | None]:
        """The whole frame at this place; None when there is none."""
        assert self._file is not None
        head = self._file.read(FRAME_OCTETS, at)
        octets = segment.frame_octets(head, 0, store)
        if octets is None or at + octets > part.octets:
            return head, None
        data = self._file.read(octets, at)
        return data, segment.find_frame(data, 0, store)

    def _go_to(self, part: Part, number: int) -> None:
        if self._name != part.name or number < self._number:
            self.forget()
            self._file = self.directory(part).open_file(part.name)
            self._name = part.name
            self._at = HEADER_OCTETS
            self._number = part.first


def _damaged(holes: Holes, number: int, end: int, what: str, *, missing: bool = False) -> Damaged:
    """The range up to `end`, or to the next hole."""
    end = min([end, *(first for first, _ in holes if first > number)])
    return Damaged(number, end - number, what, missing)
