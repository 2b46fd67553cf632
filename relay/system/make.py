"""Making a directory that is missing, and no more than that."""

import contextlib
import os


def make_directory(path: str, mode: int = 0o777) -> None:
    """Make the directory if it is missing, but nothing above it.

    A directory above that is missing may be of a file system that is not mounted yet: what is made
    in its place is hidden as soon as it is.

    Raises:
        OSError: as mkdir(2), but for EEXIST; ENOENT when the directory above is missing.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
