"""Files that programs write to, read by nobody's leave but that of the file system."""

import bz2
import contextlib
import errno
import glob
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, TypeVarTuple

import trio

from relay.system.descriptors import check_output
from relay.system.ports import Stat

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A named pipe must not wait for a writer, and a terminal must not become ours.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_STEP_OCTETS = 1 << 20  # of decompressed content that is passed over at once


class SystemLogFiles:
    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter

    async def hop(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(
            function, *args, abandon_on_cancel=True, limiter=self._limiter
        )

    def match(self, patterns: Iterable[str], *, symlinks: bool) -> Sequence[str]:
        found: dict[str, None] = {}
        for pattern in patterns:
            for path in glob.iglob(os.path.abspath(pattern), recursive=True):
                if symlinks:
                    found[os.path.realpath(path)] = None
                elif not os.path.islink(path):
                    found[path] = None
        return list(found)

    def names(self, directory: str) -> Sequence[str]:
        return os.listdir(directory)

    def stat(self, path: str) -> Stat:
        return _stat(os.stat(path))

    def open(self, path: str) -> "SystemLogFile":
        number = os.open(path, _FLAGS)
        try:
            check_output(number)
            opener = _OPENERS.get(os.path.splitext(path)[1])
            return SystemLogFile(number) if opener is None else _CompressedFile(number, opener)
        except BaseException:
            os.close(number)
            raise


class SystemLogFile:
    def __init__(self, number: int) -> None:
        self._number = number

    def stat(self) -> Stat:
        return _stat(os.fstat(self._number))

    def read(self, octets: int, offset: int) -> bytes:
        data = os.pread(self._number, octets, offset)
        while data and len(data) < octets:  # a signal, or a file system that reads less at once
            more = os.pread(self._number, octets - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        if self._number >= 0:
            with contextlib.suppress(OSError):
                os.close(self._number)
            self._number = -1

    def __del__(self) -> None:
        self.close()  # the result of an abandoned hop


class _CompressedFile(SystemLogFile):
    """Read from its beginning to its end; a step back begins anew."""

    def __init__(self, number: int, opener: Callable[[int], io.BufferedIOBase]) -> None:
        super().__init__(number)
        self._opener = opener
        self._content: io.BufferedIOBase | None = None
        self._at = 0

    def read(self, octets: int, offset: int) -> bytes:
        try:
            if self._content is None or offset < self._at:
                self._begin()
            while self._at < offset:
                if not self._next(min(_STEP_OCTETS, offset - self._at)):
                    return b""
            data = b""
            while len(data) < octets and (more := self._next(octets - len(data))):
                data += more
        except (EOFError, zlib.error, lzma.LZMAError, ValueError) as exc:
            raise OSError(errno.EIO, f"compressed content is damaged: {exc}") from exc
        return data

    def close(self) -> None:
        self._content = None
        super().close()

    def _begin(self) -> None:
        os.lseek(self._number, 0, os.SEEK_SET)
        self._content = self._opener(self._number)
        self._at = 0

    def _next(self, octets: int) -> bytes:
        assert self._content is not None
        data = self._content.read(octets)
        self._at += len(data)
        return data


def _raw(number: int) -> io.FileIO:
    return io.FileIO(number, closefd=False)


def _gzip(number: int) -> io.BufferedIOBase:
    return gzip.GzipFile(fileobj=_raw(number), mode="rb")  # it has a buffer


_OPENERS: dict[str, Callable[[int], io.BufferedIOBase]] = {
    ".gz": _gzip,
    ".bz2": lambda number: bz2.BZ2File(_raw(number)),
    ".xz": lambda number: lzma.LZMAFile(_raw(number)),  # noqa: SIM115 - its owner closes it
}


def _stat(found: os.stat_result) -> Stat:
    return Stat(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, stat.S_ISREG(found.st_mode)
    )
