"""A directory of files that are read and written at offsets: what a spool touches.

Plain blocking calls, for one thread at a time. Every call may raise `OSError`.
"""

from collections.abc import Mapping
from typing import Protocol


class RandomFile(Protocol):
    """An open file."""

    def read(self, octets: int, offset: int) -> bytes:
        """As many octets as there are (pread(2)); fewer at the end of the file alone."""

    def write(self, data: bytes | bytearray, offset: int) -> None:
        """All of it (pwrite(2)); after an `OSError` any part of it may be there."""

    def truncate(self, size: int) -> None: ...

    def allocate(self, size: int) -> None:
        """Reserve room on disk up to this size without changing the file's own (fallocate(2)).

        Where the file system cannot, nothing happens.
        """

    def sync(self) -> None:
        """fdatasync(2). After an `OSError` what was written may be gone; do not sync again."""

    def close(self) -> None: ...


class Directory(Protocol):
    """One directory, made when it is opened. No name leads through a symbolic link."""

    def open(self) -> None:
        """Make it if it is missing, and hold it: no other process can until `close`.

        Raises:
            BlockingIOError: another process has it.
        """

    def new_identity(self) -> bytes:
        """16 octets that no store had before."""

    def sizes(self) -> Mapping[str, int]:
        """The regular files in it and their sizes."""

    def others(self) -> list[str]:
        """What is in it and is no regular file."""

    def open_file(self, name: str) -> RandomFile:
        """Open a regular file that exists.

        Raises:
            FileNotFoundError: there is none of that name, or it is no regular file.
        """

    def create(self, name: str) -> RandomFile:
        """Make a file that does not exist, for its owner alone.

        Raises:
            FileExistsError: something of whatever kind has that name.
        """

    def unlink(self, name: str) -> None: ...

    def sync(self) -> None:
        """fsync(2) of the directory: files made or removed stay so."""

    def probe(self) -> None:
        """Write something, make it durable, and read it back from the medium, as far as one can.

        Raises:
            OSError: the disk does not work, or has no room.
        """

    def set_aside(self, name: str) -> None:
        """Move what has this name, of whatever kind, to where damaged octets are kept."""

    def quarantine(self, name: str, data: bytes) -> None:
        """Keep a copy of damaged octets aside; an older one of that name is replaced."""

    def close(self) -> None: ...
