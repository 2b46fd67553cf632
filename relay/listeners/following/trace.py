"""A trace: by what content is known again, wherever it has gone.

An inode is given to another file once its own is gone, and a copy has another inode. What stood in
front of a position is the same in both.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from relay.system.ports import LogFile
from relay.wire.lines import TAIL_OCTETS

HEAD_OCTETS = 512  # of the beginning of a file


@dataclass(frozen=True, slots=True)
class Trace:
    """Of what stands in front of `offset`; with offset 0 of nothing, which fits everything."""

    offset: int = 0
    head: str = ""  # digest of the first octets, of 512 at most
    tail: str = ""  # digest of the last octets in front of the offset, of 128 at most

    @classmethod
    def of(cls, offset: int, head: bytes, before: bytes) -> Self:
        if not offset:
            return cls()
        return cls(offset, _digest(head[:offset]), _digest(before))

    @classmethod
    def at(cls, file: LogFile, offset: int) -> Self:
        """Of what an open file has in front of the offset.

        Raises:
            OSError: it cannot be read.
        """
        return cls.of(offset, head_of(file, offset), before(file, offset))

    def fits(self, file: LogFile) -> bool:
        """Whether the file has this content in front of the offset.

        Raises:
            OSError: it cannot be read.
        """
        if not self.offset:
            return True
        head = head_of(file, self.offset)
        if _digest(head) != self.head:  # also where the file is shorter
            return False
        found = before(file, self.offset)
        return len(found) == min(self.offset, TAIL_OCTETS) and _digest(found) == self.tail


def head_of(file: LogFile, offset: int) -> bytes:
    """The first octets in front of the offset, 512 at most."""
    return file.read(min(offset, HEAD_OCTETS), 0) if offset else b""


def before(file: LogFile, offset: int) -> bytes:
    """The last octets in front of the offset, 128 at most."""
    octets = min(offset, TAIL_OCTETS)
    return file.read(octets, offset - octets) if octets else b""


def _digest(octets: bytes) -> str:
    return blake2b(octets, digest_size=12).hexdigest()
