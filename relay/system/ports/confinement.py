"""What the process may still do once it is locked in."""

import os
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

# read: files and directories below a place. write: also make, change, rename and remove them.
# device: write to what is there, terminals included, and make nothing.
Right = Literal["read", "write", "device"]


class Touch(NamedTuple):
    """A place in the file system that a component needs, and the key that says so."""

    right: Right
    place: str
    key: str = "path"


class Confinement(NamedTuple):
    """What is in force; as it is here, nothing is.

    Landlock and seccomp hold for the life of the process, so a reload can't have more than this.
    """

    user: str = ""  # what root was given up for
    landlock: bool = False
    seccomp: bool = False
    granted: Sequence[Touch] = ()
    port_min: int = 0  # the lowest port that can be bound anew
    kmsg: bool = True  # whether a device of the kernel's log can be opened
    commands: frozenset[tuple[str, ...]] | None = None  # that can be started; None: any

    def reaches(self, touch: Touch) -> bool:
        """Whether the place can be used so."""
        if not self.landlock:
            return True
        place = os.path.realpath(touch.place)
        return any(
            _allows(it.right, touch.right) and _is_below(place, it.place) for it in self.granted
        )

    def starts(self, command: tuple[str, ...]) -> bool:
        return self.commands is None or command in self.commands


def beside(file: str, key: str) -> Iterator[Touch]:
    """To read a file that others put in place of the old one by rename(2).

    That is, its directory, and that of the file it is a link to: of both a new one may come.
    """
    files = os.path.abspath(file), os.path.realpath(file)
    for directory in dict.fromkeys(map(os.path.dirname, files)):
        yield Touch("read", directory, key)


def _allows(granted: Right, wanted: Right) -> bool:
    return granted == wanted or granted == "write" or wanted == "read"


def _is_below(place: str, directory: str) -> bool:
    return place == directory or place.startswith(directory.rstrip("/") + "/")
