"""A directory in memory, with what a real one may lose; and batches to put there."""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.spool.recovery import Known
from relay.spool.store import Damaged, Store, Stored
from tests.core.parts import number, numbered

OCTETS = 40  # of each message


@dataclass(frozen=True, slots=True)
class Change:
    """Something done to the disk that no sync has made durable yet."""

    kind: str  # write, truncate, create, unlink
    name: str
    offset: int = 0
    data: bytes = b""


@dataclass(eq=False)
class FakeDirectory:
    """What a process sees is `files`; what a power cut leaves is `durable`, and some of `pending`.

    `fault` is asked before every change, and raises what the disk would; `survives` says which of
    the writes have reached the disk all the same when a sync fails.
    """

    files: dict[str, bytearray] = field(default_factory=dict)
    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    aside: dict[str, bytes] = field(default_factory=dict)
    fault: Callable[[str, str], None] = lambda *_: None
    survives: Callable[[Change], bool] = lambda _: False
    on_change: Callable[[], None] = lambda: None
    strangers: list[str] = field(default_factory=list)
    bad: dict[str, tuple[int, int]] = field(default_factory=dict)  # octets that cannot be read
    identities: int = 0
    locked: bool = False

    def open(self) -> None:
        self.fault("open", "")
        if self.locked:
            raise BlockingIOError(errno.EAGAIN, "locked")
        self.locked = True

    def new_identity(self) -> bytes:
        self.identities += 1
        return bytes([self.identities]) * 16

    def sizes(self) -> Mapping[str, int]:
        self.fault("list", "")
        return {name: len(data) for name, data in self.files.items()}

    def others(self) -> list[str]:
        return self.strangers

    def open_file(self, name: str) -> "FakeFile":
        self.fault("open", name)
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return FakeFile(self, name)

    def create(self, name: str) -> "FakeFile":
        self.fault("create", name)
        if name in self.files or name in self.strangers:
            raise FileExistsError(errno.EEXIST, "exists", name)
        self.files[name] = bytearray()
        self._note(Change("create", name))
        return FakeFile(self, name)

    def unlink(self, name: str) -> None:
        self.fault("unlink", name)
        del self.files[name]
        self._note(Change("unlink", name))

    def sync(self) -> None:
        self.fault("sync", "")
        names = [it for it in self.pending if it.kind in ("create", "unlink")]
        for change in names:
            apply(self.durable, change)
        self.pending = [it for it in self.pending if it not in names]
        self.on_change()

    def probe(self) -> None:
        for kind in ("create", "write", "sync", "read", "unlink"):
            self.fault(kind, "probe")

    def set_aside(self, name: str) -> None:
        self.fault("rename", name)
        self.aside[name] = bytes(self.files.pop(name, b""))
        if name in self.strangers:
            self.strangers.remove(name)
        self._note(Change("unlink", name))

    def quarantine(self, name: str, data: bytes) -> None:
        self.fault("quarantine", name)
        self.aside[name] = data

    def close(self) -> None:
        self.locked = False

    # -- for tests

    def crash(self, keep: Sequence[Change] = ()) -> "FakeDirectory":
        """What the next boot finds: all that is durable, and these of the pending changes."""
        left = {name: bytearray(data) for name, data in self.durable.items()}
        for change in keep:
            apply(left, change)
        copy = {name: bytearray(data) for name, data in left.items()}
        return FakeDirectory(left, copy, identities=self.identities)

    def kill(self) -> "FakeDirectory":
        """What the next process finds after kill -9: everything."""
        found = self.crash()
        found.files = {name: bytearray(data) for name, data in self.files.items()}
        found.pending = list(self.pending)
        return found

    def _note(self, change: Change) -> None:
        self.pending.append(change)
        self.on_change()


@dataclass(eq=False)
class FakeFile:
    directory: FakeDirectory
    name: str
    poisoned: bool = False  # a sync has failed: never again

    def read(self, octets: int, offset: int) -> bytes:
        self.directory.fault("read", self.name)
        at, end = self.directory.bad.get(self.name, (0, 0))
        if at < min(offset + octets, len(self.directory.files[self.name])) and offset < end:
            raise OSError(errno.EIO, "Input/output error")
        return bytes(self.directory.files[self.name][offset : offset + octets])

    def write(self, data: bytes | bytearray, offset: int) -> None:
        try:
            self.directory.fault("write", self.name)
        except OSError:
            self._write(bytes(data[: len(data) // 2]), offset)  # any part of it may be there
            raise
        self._write(bytes(data), offset)

    def truncate(self, size: int) -> None:
        self.directory.fault("truncate", self.name)
        change = Change("truncate", self.name, size)
        apply(self.directory.files, change)
        self.directory._note(change)

    def allocate(self, size: int) -> None:
        self.directory.fault("allocate", self.name)

    def sync(self) -> None:
        assert not self.poisoned, "a descriptor whose sync has failed is synced again"
        directory = self.directory
        mine = [it for it in directory.pending if it.name == self.name
                and it.kind in ("write", "truncate")]  # fmt: skip
        try:
            directory.fault("sync", self.name)
        except OSError:
            self.poisoned = True
            self._reach(mine, [it for it in mine if directory.survives(it)])
            raise
        if self.name not in directory.files:
            return  # unlinked while it was open
        self._reach(mine, mine)
        directory.on_change()

    def close(self) -> None:
        pass

    def _reach(self, changes: Sequence[Change], kept: Sequence[Change]) -> None:
        """Those that are kept are on disk; the others of these changes never will be.

        When the name is not durable yet, its content waits with the entry.
        """
        directory = self.directory
        made = next((it for it in reversed(directory.pending)
                     if it.kind == "create" and it.name == self.name), None)  # fmt: skip
        content = {self.name: bytearray(made.data)} if made else directory.durable
        for change in kept:
            apply(content, change)
        directory.pending = [
            Change("create", self.name, 0, bytes(content[self.name])) if it is made else it
            for it in directory.pending if it not in changes
        ]  # fmt: skip

    def _write(self, data: bytes, offset: int) -> None:
        change = Change("write", self.name, offset, data)
        apply(self.directory.files, change)
        self.directory._note(change)


def apply(files: dict[str, bytearray], change: Change) -> None:
    """One change as it reaches the disk; of a file that is not there nothing is left."""
    if change.kind == "create":
        files[change.name] = bytearray(change.data)
    elif change.kind == "unlink":
        files.pop(change.name, None)
    elif change.name in files and change.kind == "truncate":
        del files[change.name][change.offset :]
    elif change.name in files:
        content = files[change.name]
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + len(change.data)] = change.data


def opened(
    directory: FakeDirectory | None = None, *, next_min: int = 0, settled_min: int = 0
) -> Store:
    """A store of small segments."""
    known = Known(next_min, settled_min)
    store = Store.open(directory or FakeDirectory(), octets_max=1 << 20, known=known)
    store._segment_octets = 600
    return store


def put(store: Store, *sizes: int) -> None:
    """Append batches of so many messages; the number is the text."""
    for size in sizes:
        first = store.next
        store.append([(first, numbered(first, first + size, OCTETS))])


def read_all(store: Store, octets_max: int = 1 << 20) -> tuple[list[int], list[tuple[int, int]]]:
    """The numbers that can be read from `settled` on, and the ranges that are damaged."""
    found: list[int] = []
    damaged: list[tuple[int, int]] = []
    at = store.settled
    while items := store.read(at, octets_max):
        for item in items:
            if isinstance(item, Damaged):
                damaged.append((item.first, item.end))
            else:
                assert isinstance(item, Stored)
                texts = [number(message) for message in item.batch.messages]
                assert texts == [*range(item.first, item.end)], "nothing is invented"
                found += texts
            at = item.end
    return found, damaged
