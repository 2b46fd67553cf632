"""What a planted bug makes of the code that ships."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from relay.spool.cursor import Cursor, CursorFile
from relay.spool.reader import Damaged
from relay.spool.recovery import Found, Known, Part
from relay.spool.segment import HEADER_OCTETS
from relay.spool.store import Store
from relay.system.ports import Directory
from tests.spool.enumeration.histories import FOREIGN

Mutant = Callable[..., Any]


def nothing(_: Mutant) -> Mutant:
    return lambda *_: None


def syncs_nothing(_: Mutant) -> Mutant:
    def commit(self: Store) -> None:
        self.committed = self.next

    return commit


def forgets_names(shipped: Mutant) -> Mutant:
    def commit(self: Store) -> None:
        self._new_names = False
        shipped(self)

    return commit


def forgets_full_files(shipped: Mutant) -> Mutant:
    def commit(self: Store) -> None:
        while self._full_files:
            self._full_files.pop().close()
        shipped(self)

    return commit


def believes_any_octets(_: Mutant) -> Mutant:
    return lambda *_: 0


def knows_no_store(shipped: Mutant) -> Mutant:
    def crc(_: bytes, first: int, messages: int, payload: bytes) -> int:
        return int(shipped(FOREIGN, first, messages, payload))

    return crc


def tells_no_damage(shipped: Mutant) -> Mutant:
    def read(self: object, *arguments: object) -> Sequence[object]:
        return [item for item in shipped(self, *arguments) if not isinstance(item, Damaged)]

    return read


def syncs_no_cursor(shipped: Mutant) -> Mutant:
    def save(self: CursorFile, cursor: Cursor, *, sync: bool) -> None:
        shipped(self, cursor, sync=False)

    return save


def unlinks_first(shipped: Mutant) -> Mutant:
    def save_cursor(self: Store, *, sync: bool) -> None:
        tail = self._tail.part if self._tail is not None else None
        for part in [it for it in self._parts if it.end <= self.settled and it is not tail]:
            self._remove(part)
            self._directory.sync()
        shipped(self, sync=sync)

    return save_cursor


def alternates_slots(_: Mutant) -> Mutant:
    def save(self: CursorFile, cursor: Cursor, *, sync: bool) -> None:
        self._write(cursor._replace(generation=self._generation + 1), sync=sync)

    return save


def trusts_the_found_cursor(shipped: Mutant) -> Mutant:
    def init(self: CursorFile, directory: object, found: Cursor | None) -> None:
        shipped(self, directory, None)
        if found is not None:
            self._generation = self._durable = found.generation

    return init


def saves_no_hole(_: Mutant) -> Mutant:
    def add_hole(self: Store, first: int, end: int) -> None:
        self._holes = [*self._holes, (first, end)]
        self.next = max(self.next, end)

    return add_hole


def tries_a_hole_once(shipped: Mutant) -> Mutant:
    def add_hole(self: Store, first: int, end: int) -> None:
        try:
            shipped(self, first, end)
        except OSError:
            self._holes = [*self._holes, (first, end)]
            self.next = max(self.next, end)
            raise

    return add_hole


def drops_without_hole(_: Mutant) -> Mutant:
    def drop(self: Store, first: int, end: int) -> None:
        self._remove(next(part for part in self._parts if part.first == first))

    return drop


def writes_no_header(_: Mutant) -> Mutant:
    return lambda *_: bytes(HEADER_OCTETS)


def believes_a_failed_sync(shipped: Mutant) -> Mutant:
    def commit(self: Store) -> None:
        with contextlib.suppress(OSError):
            shipped(self)
        self._close_files()
        self.committed = self.next

    return commit


def keeps_its_files(_: Mutant) -> Mutant:
    def restart_after(self: Store, committed: int) -> None:
        assert self.committed == committed

    return restart_after


def syncs_without_writing(_: Mutant) -> Mutant:
    def secure(directory: Directory, parts: Sequence[Part], *_: object) -> None:
        for part in parts:
            file = directory.open_file(part.name)
            file.sync()
            file.close()
        directory.sync()

    return secure


def removes_empty_segments_first(shipped: Mutant) -> Mutant:
    def recover(directory: Directory, known: Known) -> Found:
        found: Found = shipped(directory, known)
        if found.parts and found.empty:
            before, end = found.cursor.next, int(found.empty[-1][:20])
            found.parts[-1].end = end
            found.cursor = found.cursor._replace(next=max(before, end))
            found.report.messages += max(0, end - before)
        for name in found.empty:
            directory.unlink(name)
        found.empty = []
        return found

    return recover


def knows_no_page(shipped: Mutant) -> Mutant:
    return lambda directory, _: shipped(directory, Known())


def finds_no_holes(shipped: Mutant) -> Mutant:
    def recover(directory: object, known: Known) -> Found:
        found: Found = shipped(directory, known)
        found.cursor = found.cursor._replace(holes=())
        return found

    return recover


def settles_all(shipped: Mutant) -> Mutant:
    def save(self: CursorFile, cursor: Cursor, *, sync: bool) -> None:
        shipped(self, cursor._replace(settled=cursor.next), sync=sync)

    return save


def commits_early(shipped: Mutant) -> Mutant:
    def save_cursor(self: Store, *, sync: bool) -> None:
        before, self.committed = self.committed, self.next
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, self, "committed", before)
            shipped(self, sync=sync)

    return save_cursor
