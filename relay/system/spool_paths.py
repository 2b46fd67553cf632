"""Where the spools of a state directory are."""

import os
import re
from collections.abc import Sequence

# As the configuration allows the names of pipes; those that begin with a dot get a sign in front.
_NAME = re.compile(r"(?:%\.|[A-Za-z0-9_-])[A-Za-z0-9_.-]{0,63}")


def spool_names(state_dir: str) -> Sequence[str]:
    """The pipes that have a spool there, configured or not."""
    try:
        with os.scandir(os.path.join(state_dir, "spool")) as entries:
            names = [
                it.name for it in entries
                if _NAME.fullmatch(it.name) and it.is_dir(follow_symlinks=False)
            ]  # fmt: skip
    except OSError:
        return ()  # there was none so far
    return sorted(name.removeprefix("%") for name in names)


def spool_path(state_dir: str, pipe: str) -> str:
    name = f"%{pipe}" if pipe.startswith(".") else pipe  # "..", for one, is the name of a pipe
    return os.path.join(state_dir, "spool", name)
