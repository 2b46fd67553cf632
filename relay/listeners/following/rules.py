"""Which files are followed, and how many."""

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Rules:
    """The keys of a `file` listener that say what is followed; paths are absolute."""

    patterns: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    from_end: bool = False  # of files that are there at the first start
    symlinks: bool = True
    linger_seconds: float = 5.0
    message_max: int = 64 << 10
    files_max: int = 10_000
    open_max: int = 256
    directories: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        above = (os.path.dirname(it) for it in self.patterns)
        plain = frozenset(it for it in above if not any(mark in it for mark in "*?["))
        object.__setattr__(self, "directories", plain)

    def excludes(self, path: str) -> bool:
        name = os.path.basename(path)
        return any(fnmatchcase(path if "/" in it else name, _flat(it)) for it in self.exclude)

    def takes(self, path: str) -> bool:
        """Whether a file of this name would be followed."""
        return any(fnmatchcase(path, _flat(it)) for it in self.patterns) and not self.excludes(path)


def _flat(pattern: str) -> str:
    return pattern.replace("**/", "*")  # fnmatch's `*` takes slashes, too
