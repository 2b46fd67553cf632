"""Making a directory that is missing, and no more than that."""

import contextlib
import errno
import os
import stat


def make_directory(path: str, mode: int = 0o777) -> None:
    """Make the directory if it is missing, but nothing above it.

    A directory above that is missing may be of a file system that is not mounted yet: what is made
    in its place is hidden as soon as it is.

    Raises:
        OSError: as mkdir(2), but for EEXIST; ENOENT when the directory above is missing.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)


def make_private_directory(path: str) -> None:
    """The same for a directory that only its owner looks into; one that exists is checked.

    Raises:
        OSError: as above; EPERM when it belongs to another user than this one and root, or gives
            others any permission.
    """
    make_directory(path, 0o700)
    status = os.stat(path)
    if status.st_uid not in (os.geteuid(), 0):
        raise OSError(errno.EPERM, f"directory {path} belongs to another user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"directory {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})"
        raise OSError(errno.EPERM, f"{text}, expected 0700")
