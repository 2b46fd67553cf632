"""The segment that is written to, and how one is made."""

from dataclasses import dataclass

from relay.spool import segment
from relay.spool.creation import create
from relay.spool.recovery import Part, segment_name
from relay.spool.segment import HEADER_OCTETS
from relay.system.ports import Directory, RandomFile

SEGMENTS = 64  # of a full spool
SEGMENT_OCTETS_MIN = 64 << 10
SEGMENT_OCTETS_MAX = 16 << 20


@dataclass(slots=True, eq=False, repr=False)
class Tail:
    """The segment that is written to."""

    part: Part
    file: RandomFile


@dataclass(slots=True, eq=False, repr=False)
class Maker:
    """Makes segments of a directory.

    Invariant: `_leftover` names one that could be made, and neither written nor removed.
    """

    directory: Directory
    told: list[str]  # gets what was in the way
    _leftover: str = ""

    def make(self, store: bytes, first: int, octets: int) -> Tail:
        """A new segment with room for so many octets.

        Raises:
            OSError: there is none.
        """
        part = Part(segment_name(first), first, first, HEADER_OCTETS)
        self._remove_leftover()
        file = create(self.directory, part.name, self.told)
        try:
            file.allocate(octets)
            file.write(segment.header(store, first), 0)
        except OSError:
            file.close()
            self._leftover = part.name
            self._remove_leftover()
            raise
        return Tail(part, file)

    def _remove_leftover(self) -> None:
        if self._leftover:
            self.directory.unlink(self._leftover)
            self._leftover = ""


def segment_octets(octets_max: int) -> int:
    """How large the segments of a spool of this size are."""
    return max(SEGMENT_OCTETS_MIN, min(octets_max // SEGMENTS, SEGMENT_OCTETS_MAX))
