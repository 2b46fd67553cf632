"""What a listener that follows files counts beside its messages."""

from dataclasses import dataclass, field

# Why a file that should be followed is not, for now; docs/listeners/file.md describes each.
FILE_FAILURES = ("permission", "descriptors", "not-regular", "files-max", "read", "position")


@dataclass(slots=True, eq=False, repr=False)
class FileCounts:
    """The first three are as of now; the others only grow."""

    followed: int = 0
    open: int = 0
    lag_octets: int = 0  # that are there and not read
    rotations: int = 0
    truncations: int = 0
    unfinished: int = 0  # messages from lines that never got an end
    lost: int = 0  # files of which something was never read
    lost_octets: int = 0  # as far as they are known
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILE_FAILURES, 0))
