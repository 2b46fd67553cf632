"""A spool's directory for who only looks: nothing is made, locked, changed or waited for."""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping

from relay.system.directory import QUARANTINE, SystemFile

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DirectoryView:
    """As `Directory`, and every change is refused.

    `damaged` is what would have been put aside: octets by name.
    """

    def __init__(self, path: str) -> None:
        self.damaged: dict[str, int] = {}
        self._path = path
        self._number = -1

    def open(self) -> None:
        self._number = os.open(self._path, _FLAGS | os.O_DIRECTORY)

    def new_identity(self) -> bytes:
        return os.urandom(16)

    def sizes(self) -> Mapping[str, int]:
        sizes = {}
        with os.scandir(self._number) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                    if entry.is_file(follow_symlinks=False):
                        sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
        return sizes

    def others(self) -> list[str]:
        with os.scandir(self._number) as entries:
            return [
                entry.name for entry in entries
                if not entry.is_file(follow_symlinks=False) and entry.name != QUARANTINE
            ]  # fmt: skip

    def open_file(self, name: str) -> SystemFile:
        number = os.open(name, _FLAGS, dir_fd=self._number)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return SystemFile(number)

    def create(self, name: str) -> SystemFile:
        raise _read_only(name)

    def unlink(self, name: str) -> None:
        raise _read_only(name)

    def sync(self) -> None:
        raise _read_only(self._path)

    def quarantine(self, name: str, data: bytes) -> None:
        self.damaged[name] = len(data)

    def close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)


def _read_only(name: str) -> OSError:
    return OSError(errno.EROFS, "it is only being looked at", name)
