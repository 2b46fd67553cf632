"""A file that whole lines are appended to. Plain blocking code, run in threads."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Sequence

_TEXTS_MAX = 1024  # of one writev(2): IOV_MAX


class AppendFile:
    """An open descriptor and what is known of the end of its file.

    The lock orders hops of one file: an abandoned one may still be writing when the file is closed,
    and the number must not be another file's by then.
    """

    def __init__(self, number: int, path: str) -> None:
        self._number = number
        self._path = path
        self._lock = threading.Lock()
        self._regular = stat.S_ISREG(os.fstat(number).st_mode)
        # A crash in the middle of a write leaves part of a line, which must not glue to our first.
        self._torn = self._regular and _ends_mid_line(path)

    def append(self, texts: Sequence[bytes], sync: bool) -> int:
        """As `ports.File.append`."""
        with self._lock:
            self._end_torn_line()
            written, error = _write(self._number, texts)
            if error is not None:
                whole = b"".join(texts).rfind(b"\n", 0, written) + 1
                if whole < written:
                    self._cut(written - whole)
                if not whole:
                    raise error
                written = whole
            if sync and self._regular:
                os.fdatasync(self._number)
            return written

    def replaced(self) -> bool:
        with self._lock:
            ours = os.fstat(self._number)
        try:
            there = os.lstat(self._path)
        except OSError:  # gone, or out of reach: to reopen it says what is wrong
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def close(self) -> None:
        with self._lock:
            number, self._number = self._number, -1
            # close(2): an error is news of writes long reported; the descriptor is gone either way.
            with contextlib.suppress(OSError):
                os.close(number)

    def _cut(self, octets: int) -> None:
        """Take the last octets written away again; where that cannot be, end the line."""
        with contextlib.suppress(OSError):
            if self._regular:
                end = os.lseek(self._number, 0, os.SEEK_CUR)  # behind our last octet
                if os.fstat(self._number).st_size == end:  # and nobody else's follow
                    os.ftruncate(self._number, end - octets)
                    return
        self._torn = True
        with contextlib.suppress(OSError):  # no room for that either: before the next line
            self._end_torn_line()

    def _end_torn_line(self) -> None:
        if self._torn:
            _, error = _write(self._number, [b"\n"])
            if error is not None:
                raise error
            self._torn = False


def _write(number: int, texts: Sequence[bytes]) -> tuple[int, OSError | None]:
    """How much was written, and why not more. writev(2) writes less before it says ENOSPC."""
    octets = sum(map(len, texts))
    written = 0
    try:
        written = _taken(os.writev(number, texts[:_TEXTS_MAX]))
        rest = memoryview(b"".join(texts)) if written < octets else memoryview(b"")
        while written < octets:
            written += _taken(os.write(number, rest[written:]))
    except OSError as exc:
        return written, exc
    return written, None


def _taken(octets: int) -> int:
    if octets == 0:  # "unspecified" for devices (write(2)), and no reason to spin
        raise OSError(errno.EIO, "the device takes nothing")
    return octets


def _ends_mid_line(path: str) -> bool:
    # By path, since the descriptor is for writing alone. What cannot be read is taken as whole.
    with contextlib.suppress(OSError):
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(number).st_size
            return size > 0 and os.pread(number, 1, size - 1) != b"\n"
        finally:
            os.close(number)
    return False
