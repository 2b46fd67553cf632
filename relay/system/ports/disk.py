"""Files, in threads."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class File(Protocol):
    """A file open for appending. Each call is one hop to a thread.

    A cancelled call still runs to its end and returns its result, unless the stop's deadline has
    abandoned it: what is on disk is always known while the relay runs.
    """

    async def append(self, texts: Sequence[bytes], *, sync: bool = False) -> int:
        """Write texts at the end, whole lines all of them; return how many octets are there.

        These are whole lines, at least one: what fits only in part (full disk) is cut away again.
        With `sync`, `fdatasync` before returning.

        Raises:
            OSError: not even the first line could be written, or the sync failed.
        """

    async def replaced(self) -> bool:
        """True when the path no longer leads to this file (rotated away or removed)."""

    async def close(self) -> None: ...


class PageFile(Protocol):
    """A small file that is written in place, in the page cache: these calls do not wait."""

    def read(self) -> bytes:
        """All of it.

        Raises:
            OSError: it cannot be read.
        """

    def write(self, offset: int, data: bytes) -> None:
        """Replace octets; the file grows as needed.

        Raises:
            OSError: it cannot be written, or cannot grow.
        """


class Disk(Protocol):
    """Files, in threads of the pipe's own limiter."""

    async def open_append(self, base: str, path: str, *, mode: int) -> File:
        """Open or create `base/path` for appending, creating the directories between.

        No symbolic link below `base` is followed and no path leaves it.

        Raises:
            OSError: as open(2); ELOOP for a symbolic link.
        """

    async def work(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run plain blocking code in a thread; a cancelled call still runs to its end."""

    async def write_stdout(self, data: bytes) -> int:
        """Write to standard output; octets taken, at least one.

        Raises:
            OSError: closed or broken.
        """
