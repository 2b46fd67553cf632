"""A pipe's spool directory: append, commit, read, settle. Plain blocking code on a port.

Numbers only rise and are never used twice. What is written is one ascending run with holes: ranges
of numbers that were dropped, or lost before they were written, and are told by the cursor.

The order of writes is the whole point: frames are durable before anybody is told so (`commit`), a
cursor is durable before a segment below it is unlinked, and before a frame behind a new hole is
written.
"""

from collections.abc import Sequence
from typing import Self

from relay.core.batch import Batch
from relay.spool import segment
from relay.spool.cursor import HOLES_MAX, NAME, Cursor, CursorFile
from relay.spool.holes import Hole, above, past, with_hole, without
from relay.spool.reader import Damaged, Reader, Stored
from relay.spool.recovery import Known, Part, Report, cut, recover, run_before
from relay.spool.salvage import Salvaging, is_unreadable
from relay.spool.segment import HEADER_OCTETS
from relay.spool.tail import Maker, Tail, segment_octets
from relay.system.ports import Directory, RandomFile

__all__ = ["Damaged", "Store", "Stored"]


class Store:
    """A spool directory, open and locked.

    Invariants: `settled <= next`; every number below `committed` that is neither settled nor in a
    hole is durable; the parts rise and do not overlap.
    """

    def __init__(self, directory: Directory, octets_max: int) -> None:
        self.report = Report()
        self.settled = 0
        self.next = 0
        self.committed = 0
        self.told: list[str] = []  # what was done to files that were in the way, for the log
        self._directory = directory
        self._segment_octets = segment_octets(octets_max)
        self._store = b""
        self._parts: list[Part] = []
        self._holes: list[Hole] = []
        self._cursor: CursorFile | None = None
        self._tail: Tail | None = None
        self._full_files: list[RandomFile] = []  # written, and not synced yet
        self._dirty = False  # the tail has what is not synced
        self._new_names = False  # the directory has
        self._cursor_is_due = False  # a segment is durable that the durable cursor knows nothing of
        self._salvaging = Salvaging(directory)
        self._reader = Reader(directory, self._salvaging)
        self._maker = Maker(directory, self.told)

    @classmethod
    def open(
        cls,
        directory: Directory,
        *,
        octets_max: int,
        known: Known | None = None,
        salvaging: bool = False,
    ) -> Self:
        """Take a directory and recover what is in it; `salvaging`: what cannot be read is damage.

        Raises:
            BlockingIOError: another process has it.
            OSError: it cannot be used now; never because of what is in it.
        """
        store = cls(directory, octets_max)
        directory.open()
        try:
            reading, bad = store._salvaging if salvaging else directory, store._salvaging.bad
            found = recover(reading, known or Known())
            store.report = found.report
            store.report.bad += sorted(bad)
            store._store = found.store
            store._parts = found.parts
            store._holes = list(found.cursor.holes)[-HOLES_MAX:]
            store.settled = found.cursor.settled
            store.next = store.committed = found.cursor.next
            if NAME in bad:
                directory.set_aside(NAME)
            store._cursor = CursorFile(directory, found.saved, store.told)
            store.save_cursor(sync=True)
            for name in found.empty:
                (directory.set_aside if name in bad else directory.unlink)(name)
            directory.sync()  # the cursor's own name as well
        except OSError:
            store.close()
            raise
        return store

    @property
    def identity(self) -> bytes:
        """Names this store wherever it is moved to; made with it, and kept in its files."""
        return self._store

    @property
    def octets(self) -> int:
        return sum(part.octets for part in self._parts)

    @property
    def holes(self) -> Sequence[Hole]:
        """Ranges of numbers from `settled` on that are not here."""
        return self._holes

    def segments(self) -> Sequence[tuple[int, int, int]]:
        """First number, end and octets of each segment, oldest first."""
        return [(part.first, part.end, part.octets) for part in self._parts]

    # -- writing

    def append(self, batches: Sequence[tuple[int, Batch]]) -> None:
        """Write batches, each with its first number, behind everything else. Not durable yet.

        Raises:
            OSError: up to `next` they are there, and no half of one.
        """
        for first, batch in batches:
            if first > self.next:
                self._add_hole(self.next, first)
            assert first == self.next, "numbers are never used twice"
            self._append(first, batch)

    def commit(self) -> None:
        """Make everything that was appended durable.

        Raises:
            OSError: none of it is certain; go on with `restart_after`.
        """
        while self._full_files:
            self._full_files[-1].sync()
            self._full_files.pop().close()
        if self._tail is not None and self._dirty:
            self._tail.file.sync()
        if self._new_names:
            self._directory.sync()
            self._cursor_is_due = True
        self._dirty = self._new_names = False
        self.committed = self.next

    def restart_after(self, committed: int) -> None:
        """After a failed commit: forget what was appended since, and use its file no more.

        A second sync of a descriptor would say that all is well (the kernel has marked the pages
        clean), so what the caller writes again goes into another file.

        Raises:
            OSError: the old file can neither be cut nor removed; nothing has changed.
        """
        self._close_files()
        self._reader.forget()
        while self._parts and self._parts[-1].first >= committed and self._parts[-1].readable:
            self._directory.unlink(self._parts[-1].name)
            self._parts.pop()
        if self._parts and self._parts[-1].end > committed:
            cut(self._reader.directory(self._parts[-1]), self._parts[-1], committed, self._store)
        self.committed = committed
        self.next = past(self._holes, max(committed, self.settled))
        self._dirty = False

    def drop(self, first: int, end: int) -> None:
        """Give up these numbers of a segment: a hole now. What it has got since stays there.

        Raises:
            OSError: it is still there.
        """
        part = next((part for part in self._parts if part.first == first), None)
        if part is None:
            return
        if part.end > end:
            self._add_hole(first, end)
            return
        if self._tail is not None and part is self._tail.part:
            self._close_tail()
        self._add_hole(part.first, part.end)
        if part in self._parts:
            self._remove(part)

    # -- reading

    def read(self, first: int, octets_max: int) -> Sequence[Stored | Damaged]:
        """From this number on, in order; at least one item unless there is nothing.

        Damage is told once as a range, in its place, and its octets are put aside.

        Raises:
            OSError: the disk fails.
        """
        return self._reader.read(
            self._parts, self._holes, self._store, first, self.next, octets_max
        )

    def give_up(self, number: int) -> str:
        """What the disk does not give of the segment of this number is damage; returns its name.

        Raises:
            OSError: the disk fails as a whole.
        """
        self._directory.probe()
        return self._reader.give_up(self._parts, past(self._holes, number))

    def messages(self, first: int, end: int) -> int:
        """How many of these numbers are those of messages: holes from `settled` on are none."""
        return without(self._holes, first, end)

    # -- settling

    @property
    def oldest(self) -> int:
        """From where on everything is still there, whether it has left or not."""
        return run_before(self._parts, self.settled)

    def settle(self, number: int) -> None:
        """Everything below has left; `save_cursor` makes it last."""
        self.settled = max(self.settled, min(number, self.next))
        self._holes = above(self._holes, self.settled)

    def save_cursor(self, *, sync: bool) -> None:
        """Write the cursor, and unlink the segments that it has passed once it is durable.

        Also without `sync` it is durable once a segment: a recovery has no more to make sure of.

        Raises:
            OSError: the cursor before it still holds, and no segment is gone.
        """
        passed = [part for part in self._parts if part.end <= self.settled]
        tail = self._tail
        if tail is not None and tail.part in passed:
            if sync or tail.part.octets >= self._segment_octets // 2:
                self._close_tail()  # not to keep a file of nothing but delivered messages
            else:
                passed.remove(tail.part)
        assert self._cursor is not None
        cursor = Cursor(self._store, 0, self.settled, self.committed, self._holes)
        sync = sync or bool(passed) or self._cursor_is_due
        self._cursor.save(cursor, sync=sync)
        self._cursor_is_due &= not sync
        for part in passed:
            self._remove(part)

    def close(self) -> None:
        """Let go of everything; what is not committed may be lost."""
        self._reader.forget()
        self._close_files()
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = None
        self._directory.close()

    # -- below

    def _append(self, first: int, batch: Batch) -> None:
        for start, stop in segment.slices(batch):
            piece = batch if stop - start == len(batch) else batch.part(start, stop)
            data = segment.frame(self._store, first + start, piece)
            tail = self._tail_for(len(data))
            part = tail.part
            try:
                tail.file.write(data, part.octets)
            except OSError as exc:
                tail.file.truncate(part.octets)
                if is_unreadable(exc) and part.octets > HEADER_OCTETS:
                    self._retire_tail(tail)  # the same place would fail again
                raise
            self._dirty = True
            part.octets += len(data)
            part.end = first + stop
            self.next = past(self._holes, part.end)  # of a write before this one that failed

    def _tail_for(self, octets: int) -> Tail:
        """The segment to write to; a new one when the last is full."""
        tail = self._tail
        if tail is not None:
            part = tail.part
            if part.octets + octets <= self._segment_octets or part.octets == HEADER_OCTETS:
                return tail
            self._retire_tail(tail)
        room = max(self._segment_octets, HEADER_OCTETS + octets)
        self._tail = tail = self._maker.make(self._store, self.next, room)
        self._parts.append(tail.part)
        self._dirty = self._new_names = True
        return tail

    def _retire_tail(self, tail: Tail) -> None:
        self._full_files.append(tail.file)  # to be synced with the others
        self._tail = None

    def _close_tail(self) -> None:
        if self._tail is not None:
            self._tail.file.close()
        self._tail = None

    def _close_files(self) -> None:
        self._close_tail()
        while self._full_files:
            self._full_files.pop().close()

    def _add_hole(self, first: int, end: int) -> None:
        """Numbers that are not here, told by a durable cursor before anything follows them."""
        before = self._holes
        self._holes = above(with_hole(before, (first, end)), self.settled)[-HOLES_MAX:]
        try:
            self.save_cursor(sync=True)
        except OSError:
            self._holes = before  # nothing may follow it
            raise
        self.next = max(self.next, end)

    def _remove(self, part: Part) -> None:
        self._reader.forget()
        if self._reader.is_salvaged(part):
            self._directory.set_aside(part.name)
            self.told.append(f"{part.name} is in quarantine: the disk does not give all of it")
        elif part.readable:
            self._directory.unlink(part.name)
        self._parts.remove(part)
