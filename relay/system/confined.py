"""Opening files below a base directory whatever the path, part of it a stranger's text, says."""

import contextlib
import errno
import os
import stat

from relay.system.make import make_directory

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# O_NONBLOCK: a named pipe that nobody reads gives ENXIO and does not hold the thread (fifo(7)).
# O_NOCTTY: a console does not become our controlling terminal.
_APPEND = (
    os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
)  # fmt: skip


def open_confined(base: str, path: str, mode: int) -> int:
    """Open `base/path` for appending and return the descriptor, making what is missing.

    `mode` is for a new file, whatever the umask. `base` is the operator's and may be or contain a
    symbolic link, nothing below it may; the directory that `base` is in must be there.

    Raises:
        OSError: as open(2); EINVAL for a path that could lead elsewhere, ELOOP for a symbolic link.
    """
    *directories, name = _components(path)
    directory = _open_base(base)
    try:
        for each in directories:
            below = _enter(each, directory)
            os.close(directory)
            directory = below
        return _open_file(name, directory, mode)
    finally:
        os.close(directory)


def _components(path: str) -> list[str]:
    components = path.split("/")
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError as exc:
        raise OSError(errno.EINVAL, "no file name", ascii(path)) from exc
    if b"\0" in encoded or any(each in ("", ".", "..") for each in components):
        raise OSError(errno.EINVAL, "not a path below the base", path)
    return components


def _open_base(base: str) -> int:
    try:
        return os.open(base, _DIRECTORY)
    except FileNotFoundError:
        make_directory(base, 0o755)
        return os.open(base, _DIRECTORY)


def _enter(name: str, parent: int) -> int:
    try:
        return _open_directory(name, parent)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another thread was faster
            os.mkdir(name, 0o755, dir_fd=parent)
        return _open_directory(name, parent)


def _open_directory(name: str, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except NotADirectoryError:
        # Linux looks at O_DIRECTORY before O_NOFOLLOW and says this of a link, too (open(2)).
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


def _open_file(name: str, directory: int, mode: int) -> int:
    # Without O_CREAT first: only so is it known who made the file, and fs.protected_regular
    # (proc_sys_fs(5)) has no say over files that exist.
    try:
        return os.open(name, _APPEND, dir_fd=directory)
    except FileNotFoundError:
        pass
    try:
        number = os.open(name, _APPEND | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
    except FileExistsError:  # made by another in this moment
        return os.open(name, _APPEND, dir_fd=directory)
    try:
        os.fchmod(number, mode)
    except OSError:
        os.close(number)
        raise
    return number
