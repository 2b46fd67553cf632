"""Where the spools of a state directory are, and how their pipes are called."""

import os
import re
from collections.abc import Sequence

# As the configuration allows the names of pipes; those that begin with a dot get a sign in front.
_NAME = re.compile(r"(?:%\.|[A-Za-z0-9_-])[A-Za-z0-9_.-]{0,63}")


def spool_path(state_dir: str, pipe: str) -> str:
    name = f"%{pipe}" if pipe.startswith(".") else pipe  # "..", for one, is the name of a pipe
    return os.path.join(state_dir, "spool", name)


def spool_names(state_dir: str) -> Sequence[str]:
    """The pipes that have a spool there, in order; a symbolic link is none.

    Raises:
        OSError: the directory cannot be read. That there is none is no fault.
    """
    try:
        with os.scandir(os.path.join(state_dir, "spool")) as entries:
            names = [it.name for it in entries
                     if _NAME.fullmatch(it.name) and it.is_dir(follow_symlinks=False)]  # fmt: skip
    except FileNotFoundError:
        return []
    return sorted(name.removeprefix("%") for name in names)


def move_spool(state_dir: str, old: str, new: str) -> None:
    """Give the spool of a pipe to another one, which has none or an empty directory.

    Raises:
        OSError: it cannot be moved; nothing has changed.
    """
    os.rename(spool_path(state_dir, old), spool_path(state_dir, new))
    number = os.open(os.path.join(state_dir, "spool"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
