"""A file that whole lines are appended to. Plain blocking code, run in threads."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Sequence

_OCTETS_MAX = 1 << 20  # a hop: some milliseconds on the slowest flash, and a bound for the copy


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

    def append(self, lines: Sequence[bytes], sync: bool) -> int:
        """As `ports.File.append`, for at most 1 MiB (or one line, if that is longer)."""
        with self._lock:
            self._end_torn_line()
            lines = _up_to_octets_max(lines)
            written, error = _write(self._number, b"".join(lines))
            whole = len(lines)
            if error is not None:
                whole, rest = _whole_lines(lines, written)
                if rest:
                    self._cut(rest)
                if not whole:
                    raise error
            if sync and self._regular:
                os.fdatasync(self._number)
            return whole

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
            _, error = _write(self._number, b"\n")
            if error is not None:
                raise error
            self._torn = False


def _write(number: int, octets: bytes) -> tuple[int, OSError | None]:
    """How much was written, and why not more. write(2) writes less before it says ENOSPC."""
    view = memoryview(octets)
    written = 0
    try:
        while written < len(octets):
            taken = os.write(number, view[written:])
            if taken == 0:  # "unspecified" for devices (write(2)), and no reason to spin
                raise OSError(errno.EIO, "the device takes nothing")
            written += taken
    except OSError as exc:
        return written, exc
    return written, None


def _up_to_octets_max(lines: Sequence[bytes]) -> Sequence[bytes]:
    if sum(map(len, lines)) <= _OCTETS_MAX:
        return lines
    octets = 0
    for count, line in enumerate(lines):
        octets += len(line)
        if octets > _OCTETS_MAX and count:
            return lines[:count]
    return lines


def _whole_lines(lines: Sequence[bytes], octets: int) -> tuple[int, int]:
    """How many lines the octets make, and how many octets are left over."""
    for count, line in enumerate(lines):
        if octets < len(line):
            return count, octets
        octets -= len(line)
    return len(lines), octets


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
