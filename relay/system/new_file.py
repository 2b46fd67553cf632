"""A file that appears whole, or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import BinaryIO

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # of file systems that have none


@contextlib.contextmanager
def new_file(path: str, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Write here; at the end the file has its name, is on disk, and for its owner alone.

    After an exception there is nothing. What has the name already is left alone, or replaced as it
    is: a symbolic link is not followed.

    Raises:
        FileExistsError: there is something of this name.
        OSError: it cannot be written.
    """
    directory, name = os.path.split(path)
    there = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    part = f".{name[:200]}.{os.getpid()}"
    try:
        _refuse(name, there, replace=replace)
        number = os.open(part, _FLAGS, 0o600, dir_fd=there)
        try:
            with open(number, "wb") as file:
                yield file
                file.flush()
                os.fsync(number)
            _name(part, name, there, replace=replace)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=there)
        os.fsync(there)
    finally:
        os.close(there)


def _refuse(name: str, there: int, *, replace: bool) -> None:
    """Before hours of writing, and not only behind them."""
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=there, follow_symlinks=False)
        if not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _name(part: str, name: str, there: int, *, replace: bool) -> None:
    if not replace:
        try:
            os.link(part, name, src_dir_fd=there, dst_dir_fd=there)  # never replaces
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            _refuse(name, there, replace=False)
        else:
            return
    os.rename(part, name, src_dir_fd=there, dst_dir_fd=there)
