"""What is there: the files that match, and beside them those that were rotated away."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.listeners.following.names import origin
from relay.listeners.following.rules import Rules
from relay.system.ports import LogFiles, Stat


def group(path: str) -> str:
    """What a file was called while it was written to: the same for all that a log has been."""
    directory, name = os.path.split(path)
    return os.path.join(directory, origin(name).name)


def is_rotated(path: str) -> bool:
    return origin(os.path.basename(path)).rotated


def is_compressed(path: str) -> bool:
    return origin(os.path.basename(path)).compressed


@dataclass(slots=True)
class Listing:
    """Invariant: `keys` has one path of each file in `stats`, if it can be one that matches."""

    stats: dict[str, Stat] = field(default_factory=dict)
    matched: dict[str, None] = field(default_factory=dict)  # paths; none is compressed
    keys: dict[str, str] = field(default_factory=dict)
    faults: dict[str, OSError | None] = field(default_factory=dict)  # None: no regular file

    def path(self, key: str) -> str | None:
        return self.keys.get(key)

    def of(self, name: str) -> list[str]:
        """All of this group; what is not compressed first, then what changed last."""
        found = [path for path in self.stats if group(path) == name]
        return sorted(found, key=lambda it: (is_compressed(it), -self.stats[it].changed_ns))

    def add(self, files: LogFiles, path: str, *, matched: bool) -> None:
        try:
            stat = files.stat(path)
        except FileNotFoundError:
            return  # gone between two calls
        except OSError as exc:
            self.faults[path] = exc
            return
        if not stat.regular:
            if matched:
                self.faults[path] = None
            return
        self.stats[path] = stat
        if matched:
            self.matched[path] = None
        self.keys.setdefault(stat.key, path)


def look_around(
    files: LogFiles, rules: Rules, directories: Iterable[str], groups: Iterable[str]
) -> Listing:
    """One look at everything; `groups` are of files that matched before, where links led to."""
    listing = Listing()
    paths = sorted(files.match(rules.patterns, symlinks=rules.symlinks), key=is_rotated)
    for path in paths:
        if not rules.excludes(path) and not is_compressed(path):
            listing.add(files, path, matched=True)
    known = {*groups, *map(group, listing.matched)}
    around = {*rules.directories, *directories, *map(os.path.dirname, listing.stats)}
    for directory in around:
        try:
            names = files.names(directory)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            listing.faults[directory] = exc
            continue
        for name in names:
            path = os.path.join(directory, name)
            if path in listing.stats or not origin(name).rotated:
                continue
            if group(path) in known or rules.takes(group(path)):
                listing.add(files, path, matched=False)
    return listing
