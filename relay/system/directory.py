"""The host's own directories, as spools use them."""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Mapping

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no link is followed, no pipe waited for
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of <linux/falloc.h>
_QUARANTINES = ("quarantine", *(f"quarantine.{n}" for n in range(1, 10)))  # the first that is one
_NAMES_MAX = 1000  # set aside from one name
_PROBE = "probe"
_NOT_REGULAR = {errno.ELOOP, errno.EISDIR, errno.ENXIO}  # what open(2) says of links, and so on

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class SystemFile:
    def __init__(self, number: int) -> None:
        self._number = number

    def read(self, octets: int, offset: int) -> bytes:
        data = os.pread(self._number, octets, offset)
        while 0 < len(data) < octets:
            more = os.pread(self._number, octets - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, data: bytes | bytearray, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._number, view, offset)
            if not written:
                raise OSError(errno.EIO, "the device takes nothing")
            view = view[written:]
            offset += written

    def truncate(self, size: int) -> None:
        os.ftruncate(self._number, size)

    def allocate(self, size: int) -> None:
        # posix_fallocate(3) would change the size, and write zeros where fallocate(2) is missing.
        if _libc.fallocate(self._number, _KEEP_SIZE, 0, size):
            error = ctypes.get_errno()
            if error not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINTR):
                raise OSError(error, os.strerror(error))

    def sync(self) -> None:
        os.fdatasync(self._number)
        if not os.fstat(self._number).st_nlink:  # what nobody can open again is not durable
            raise OSError(errno.ENOENT, "removed while it was open")

    def forget(self) -> None:
        """What is durable is to be read from the medium, and not from the page cache."""
        os.posix_fadvise(self._number, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        number, self._number = self._number, -1
        with contextlib.suppress(OSError):
            os.close(number)


class SystemDirectory:
    """Made when it is opened, if the directory that it is `below` is there.

    Invariant: while it is open, `_number` is its descriptor and `_lock` holds its lock.
    """

    def __init__(self, path: str, *, below: str | None = None) -> None:
        self._path = path
        self._below = below
        self._number = -1
        self._lock = -1

    def open(self) -> None:
        if self._below is not None and not os.path.isdir(self._below):
            # Its file system is not mounted, and would hide what is made in its place.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._below)
        os.makedirs(self._path, mode=0o700, exist_ok=True)
        self._number = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            self._lock = self._open_lock()
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    def new_identity(self) -> bytes:
        return os.urandom(16)

    def sizes(self) -> Mapping[str, int]:
        with os.scandir(self._number) as entries:
            return {
                entry.name: entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if entry.is_file(follow_symlinks=False)
            }

    def others(self) -> list[str]:
        with os.scandir(self._number) as entries:
            return [
                entry.name for entry in entries
                if not entry.is_file(follow_symlinks=False) and entry.name not in _QUARANTINES
            ]  # fmt: skip

    def open_file(self, name: str) -> SystemFile:
        return SystemFile(self._open_regular(name, os.O_RDWR))

    def create(self, name: str) -> SystemFile:
        return SystemFile(self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self._number)

    def sync(self) -> None:
        os.fsync(self._number)

    def probe(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.set_aside if _PROBE in self.others() else self.unlink)(_PROBE)
        written = os.urandom(4096)
        file = self.create(_PROBE)
        try:
            file.write(written, 0)
            file.sync()
            file.forget()
            if file.read(len(written), 0) != written:
                raise OSError(errno.EIO, "the disk does not give back what it took")
        finally:
            file.close()
            self.unlink(_PROBE)

    def set_aside(self, name: str) -> None:
        inside = self._open_quarantine()
        try:
            taken = set(os.listdir(inside))
            names = [name, *(f"{name}.{n}" for n in range(1, _NAMES_MAX))]
            free = next((it for it in names if it not in taken), names[-1])
            os.rename(name, free, src_dir_fd=self._number, dst_dir_fd=inside)
            os.fsync(inside)
        finally:
            os.close(inside)

    def quarantine(self, name: str, data: bytes) -> None:
        inside = self._open_quarantine()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS
            with open(os.open(name, flags, 0o600, dir_fd=inside), "wb") as file:
                file.write(data)
        finally:
            os.close(inside)

    def close(self) -> None:
        for number in (self._lock, self._number):
            if number >= 0:
                with contextlib.suppress(OSError):
                    os.close(number)
        self._lock = self._number = -1

    def _open_lock(self) -> int:
        try:
            return self._open_regular("lock", os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # somebody has put something else there
            self.set_aside("lock")
            return self._open_regular("lock", os.O_RDWR | os.O_CREAT)

    def _open_quarantine(self) -> int:
        for name in _QUARANTINES:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._number)
            with contextlib.suppress(NotADirectoryError):  # something else has that name
                return self._open(name, os.O_RDONLY | os.O_DIRECTORY)
        raise FileExistsError(errno.EEXIST, "nowhere to keep what is damaged")

    def _open_regular(self, name: str, flags: int) -> int:
        try:
            number = self._open(name, flags)
        except OSError as exc:
            if exc.errno not in _NOT_REGULAR:
                raise
            raise FileNotFoundError(errno.ENOENT, "not a regular file", name) from exc
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise FileNotFoundError(errno.ENOENT, "not a regular file", name)
        return number

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | _FLAGS, 0o600, dir_fd=self._number)
