"""A directory for whoever only looks: read without its lock, changed in memory alone.

What a start would mend on disk is mended in the copy of the one who looks, so that the same code
says what is there. Another process may write meanwhile: what was there at `open` is what counts.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

LOOKS_MAX = 1000  # at a directory whose cursor moves; each takes some 100 µs

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CURSOR = "cursor"
_CURSOR_OCTETS = 8192
_QUARANTINE = "quarantine"


@dataclass(slots=True, eq=False, repr=False)
class SnapshotDirectory:
    """A `Directory` of the ports, made from the one at this path. It is not made if it is missing.

    Invariant: nothing is ever changed on disk. `sizes` are those after all changes here, `copies`
    the contents of the files that were written to.
    """

    path: str
    copies: dict[str, bytearray] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _others: list[str] = field(default_factory=list)
    _number: int = -1

    def open(self) -> None:
        """Look until the cursor is the same before and behind.

        With an older one than the files, what has left since is missing; with a newer one, what has
        been written since.
        """
        self._number = os.open(self.path, _FLAGS | os.O_DIRECTORY)
        cursor = self._cursor()
        for _ in range(LOOKS_MAX):
            self._list()
            before, cursor = cursor, self._cursor()
            if cursor == before:
                break
        if cursor is not None:
            self.copies[_CURSOR] = bytearray(cursor)
            self._sizes[_CURSOR] = len(cursor)

    def _list(self) -> None:
        self._sizes, self._others = {}, []
        with os.scandir(self._number) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                    if entry.is_file(follow_symlinks=False):
                        self._sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
                    elif entry.name != _QUARANTINE:
                        self._others.append(entry.name)

    def _cursor(self) -> bytes | None:
        try:
            file = self.open_file(_CURSOR)
        except OSError:
            return None
        try:
            return os.pread(file.number, _CURSOR_OCTETS, 0)
        except OSError:
            return None  # whoever reads it from here is told
        finally:
            file.close()

    def new_identity(self) -> bytes:
        return bytes(16)  # nothing that lasts gets it

    def sizes(self) -> Mapping[str, int]:
        return dict(self._sizes)

    def size(self, name: str) -> int:
        return self._sizes[name]

    def others(self) -> list[str]:
        return self._others

    def open_file(self, name: str) -> "SnapshotFile":
        if name in self.copies:
            return SnapshotFile(self, name, -1)
        number = os.open(name, _FLAGS, dir_fd=self._number)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise FileNotFoundError(errno.ENOENT, "not a regular file", name)
        return SnapshotFile(self, name, number)

    def create(self, name: str) -> "SnapshotFile":
        self.copies[name] = bytearray()
        self._sizes[name] = 0
        return SnapshotFile(self, name, -1)

    def resize(self, name: str, size: int) -> None:
        self._sizes[name] = size

    def unlink(self, name: str) -> None:
        del self._sizes[name]
        self.copies.pop(name, None)

    def sync(self) -> None:
        pass  # nothing here has to last

    def probe(self) -> None:
        pass  # whoever looks changes nothing, and wants to see what there is

    def set_aside(self, name: str) -> None:
        self._sizes.pop(name, None)

    def quarantine(self, name: str, data: bytes) -> None:
        pass  # who mends it keeps the copy

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
        self._number = -1


@dataclass(slots=True, eq=False, repr=False)
class SnapshotFile:
    """An open file of a snapshot; the first octet that differs makes a copy of it."""

    directory: SnapshotDirectory
    name: str
    number: int  # -1: there is only the copy

    def read(self, octets: int, offset: int) -> bytes:
        copy = self.directory.copies.get(self.name)
        if copy is not None:
            return bytes(copy[offset : offset + octets])
        octets = min(octets, max(0, self._size - offset))
        found = b""
        while len(found) < octets:
            more = os.pread(self.number, octets - len(found), offset + len(found))
            if not more:
                break  # somebody has cut it off
            found += more
        return found

    def write(self, data: bytes | bytearray, offset: int) -> None:
        if self.read(len(data), offset) == data:
            return
        copies = self.directory.copies
        if self.name not in copies:
            copies[self.name] = bytearray(self.read(self._size, 0))
        copy = copies[self.name]
        copy.extend(bytes(max(0, offset - len(copy))))
        copy[offset : offset + len(data)] = data
        self.directory.resize(self.name, len(copy))

    def truncate(self, size: int) -> None:
        if copy := self.directory.copies.get(self.name):
            del copy[size:]
        self.directory.resize(self.name, min(self._size, size))

    def allocate(self, size: int) -> None:
        pass  # there is always room here

    def sync(self) -> None:
        pass  # nothing here has to last

    def close(self) -> None:
        if self.number >= 0:
            os.close(self.number)
        self.number = -1

    @property
    def _size(self) -> int:
        return self.directory.size(self.name)
