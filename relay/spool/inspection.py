"""Looking at a spool without touching it, also while a relay writes and removes what is there."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relay.spool.reader import CHUNK_OCTETS, Damaged, Reader, Stored
from relay.spool.recovery import Found, Part, look, read_cursor
from relay.system.ports import Directory

TRIES = 20  # of a look during which a file vanishes


@dataclass(frozen=True, slots=True)
class Left:
    """Numbers that are not on disk because they have left: delivered, or dropped and booked."""

    first: int
    messages: int

    @property
    def end(self) -> int:
        return self.first + self.messages


Item = Stored | Damaged | Left


class Inspection:
    """What a directory holds at this moment.

    Invariant: numbers from `settled` to `next` are held, in a hole, or damaged; those that leave
    from now on are found as long as their segment is there.
    """

    def __init__(self, directory: Directory, *, settled_min: int = 0) -> None:
        """Look at an open directory. Everything below `settled_min` has left: the crash page says.

        Raises:
            OSError: it cannot be read.
        """
        self._directory = directory
        self._settled_min = settled_min
        self._reader = Reader(directory)
        self.found = self._seen = self._look()  # at first, and as it was last

    @property
    def settled(self) -> int:
        return self.found.cursor.settled

    @property
    def next(self) -> int:
        return self.found.cursor.next

    @property
    def oldest(self) -> int:
        """The lowest number on disk, delivered or not."""
        parts = self.found.parts
        return min(parts[0].first, self.settled) if parts else self.settled

    @property
    def octets(self) -> int:
        return sum(part.octets for part in self.found.parts)

    def messages(self, first: int, end: int) -> int:
        """How many of these numbers are held, those that cannot be read included."""
        first, end = max(first, self.settled), min(end, self.next)
        holes = self.found.cursor.holes
        return max(0, end - first) - sum(max(0, min(b, end) - max(a, first)) for a, b in holes)

    def read(self, first: int, end: int) -> Iterator[Item]:
        """What is there from `first` on, below `end`, in order, in whole batches.

        Raises:
            OSError: the disk fails.
        """
        number, end = max(first, self.oldest), min(end, self.next)
        while number < end:
            items = self._read(number, end)
            if not items:
                return  # a hole up to the end
            for item in items:
                yield item
                number = item.end

    def close(self) -> None:
        self._reader.forget()
        self._directory.close()

    # -- below

    def _read(self, number: int, end: int) -> Sequence[Item]:
        """The next items. What cannot be read is looked at again: it may have left meanwhile."""
        damage: Sequence[Item] = ()
        for _ in range(TRIES):
            if left := self._left(number, end):
                return [left]
            seen = self._seen
            try:
                found = self._reader.read(
                    seen.parts, seen.cursor.holes, seen.store, number, end, CHUNK_OCTETS
                )
            except FileNotFoundError:
                self._seen = self._look()
                continue
            whole = list(_until_damage(found))
            if not whole and (left := self._passed(found[:1])):
                return [left]
            if whole or not found or found[:1] == damage or not self._has_changed():
                return whole or found[:1]
            damage = found[:1]
        raise OSError(errno.EBUSY, "segments vanish faster than they can be read")

    def _left(self, number: int, end: int) -> Left | None:
        """The numbers from this one on that are in no segment, and below what has left."""
        part = next((it for it in self._seen.parts if number < it.end), None)
        if part is not None and part.first <= number:
            return None
        end = min(end, self._seen.cursor.settled, part.first if part is not None else end)
        return Left(number, end - number) if number < end else None

    def _passed(self, found: Sequence[Item]) -> Left | None:
        """What is missing without a trace and below what has left: a hole that is forgotten."""
        settled = self._seen.cursor.settled
        for item in found:
            if isinstance(item, Damaged) and item.missing and item.first < settled:
                return Left(item.first, min(item.end, settled) - item.first)
        return None

    def _has_changed(self) -> bool:
        """Whether another process has done anything since the last look; if so, look again."""
        before, self._seen = self._seen, self._look()
        if _state(before) == _state(self._seen):
            return False
        self._reader.forget()
        return True

    def _look(self) -> Found:
        """Look until nothing vanishes meanwhile.

        What an earlier cursor calls durable is in the files that are listed after it was read, and
        what is gone from there is passed by the cursor that is read last.
        """
        for turn in range(TRIES):
            try:
                before = read_cursor(self._directory)
                found = look(
                    self._directory,
                    settled_min=self._settled_min,
                    durable=before.next if before is not None else 0,
                )
            except FileNotFoundError:
                if turn + 1 == TRIES:
                    raise
            else:
                if not found.report.cursor_lost or turn + 1 == TRIES:
                    return found  # both slots may be read in the middle of a write, not every time
        raise AssertionError("the last turn returns or raises")


def _until_damage(found: Sequence[Stored | Damaged]) -> Iterator[Stored]:
    for item in found:
        if isinstance(item, Damaged):
            return
        yield item


def _state(found: Found) -> tuple[int, list[tuple[str, int, int]]]:
    return found.cursor.settled, [_extent(part) for part in found.parts]


def _extent(part: Part) -> tuple[str, int, int]:
    return part.name, part.end, part.octets
