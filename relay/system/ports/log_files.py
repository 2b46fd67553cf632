"""Files that programs write to, to be followed."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stat(NamedTuple):
    """What stat(2) says of a file."""

    device: int
    inode: int
    size: int  # octets
    changed_ns: int  # of its content, on the clock of its file system
    regular: bool

    @property
    def key(self) -> str:
        """The file's identity while it exists; afterwards another one may get it."""
        return f"{self.device}:{self.inode}"


class LogFile(Protocol):
    """An open file. Nobody's any more, it closes by itself."""

    def stat(self) -> Stat: ...

    def read(self, octets: int, offset: int) -> bytes:
        """As many octets as there are; fewer at the end of the file alone.

        Of a compressed file: of its content.

        Raises:
            OSError: it cannot be read; a compressed one may be incomplete or damaged.
        """

    def close(self) -> None: ...


class LogFiles(Protocol):
    """The file system as a reader sees it. All but `hop` block: call them inside one."""

    async def hop(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run it in a thread; cancelled, the thread is abandoned, and its result with it."""

    def match(self, patterns: Iterable[str], *, symlinks: bool) -> Sequence[str]:
        """Absolute paths that match any of these, symbolic links resolved; or without these.

        `*`, `?` and `[…]` match within a name, `**` any number of directories. What cannot be
        looked into is passed over.
        """

    def names(self, directory: str) -> Sequence[str]:
        """What is in it.

        Raises:
            OSError: it is missing, or may not be read.
        """

    def stat(self, path: str) -> Stat:
        """Of what it leads to.

        Raises:
            OSError: as stat(2).
        """

    def open(self, path: str) -> LogFile:
        """Open for reading; a name that ends in .gz, .bz2 or .xz is read decompressed.

        Raises:
            OSError: as open(2), and EMFILE when only the descriptors of the reserve are left.
        """
