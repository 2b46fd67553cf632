"""The file of the crash page: small, preallocated, written in place."""

import contextlib
import errno
import fcntl
import os
from typing import Self

_GROW_OCTETS = 8192  # 64 records at a time


class SystemPageFile:
    """Each write is one pwrite(2) into room that is there already: a full disk does not matter."""

    def __init__(self, number: int, allocated: int) -> None:
        self._number = number
        self._allocated = allocated

    @classmethod
    def open(cls, directory: str) -> Self:
        """Open or create `crash-page` there, and hold it.

        Raises:
            BlockingIOError: another process has it.
            OSError: as open(2) and posix_fallocate(3); ELOOP for a symbolic link.
        """
        path = os.path.join(directory, "crash-page")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        number = os.open(path, flags, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file = cls(number, os.fstat(number).st_size)
            file._allocate(_GROW_OCTETS)
        except OSError:
            os.close(number)
            raise
        return file

    def read(self) -> bytes:
        return os.pread(self._number, self._allocated, 0)

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > self._allocated:
            self._allocate(end + _GROW_OCTETS)
        written = os.pwrite(self._number, data, offset)
        if written < len(data):
            raise OSError(errno.EIO, "short write")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._number)

    def _allocate(self, octets: int) -> None:
        if octets > self._allocated:
            os.posix_fallocate(self._number, 0, octets)
            self._allocated = octets
