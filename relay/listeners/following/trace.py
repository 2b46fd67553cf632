"""A trace: by what content is known again, wherever it has gone.

An inode is given to another file once its own is gone, and a copy has another inode. What stood in
front of a position is the same in both.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

from relay.system.ports import LogFile
from relay.wire.lines import TAIL_OCTETS

HEAD_OCTETS = 512  # of the beginning of a file


@dataclass(frozen=True, slots=True)
class Trace:
    """Of what stands in front of `offset`, or at the beginning of a file that was not read yet.

    Without any octets it is the trace of an empty file, and fits everything.
    """

    offset: int = 0
    octets: int = 0  # at the beginning, 512 at most
    head: str = field(default_factory=lambda: _digest(b""))  # their digest
    tail: str = field(
        default_factory=lambda: _digest(b"")
    )  # digest of the last octets in front of the offset, of 128 at most

    @classmethod
    def of(cls, offset: int, head: bytes, before: bytes = b"") -> Self:
        head = head[: min(offset, HEAD_OCTETS)] if offset else head[:HEAD_OCTETS]
        return cls(offset, len(head), _digest(head), _digest(before))

    @classmethod
    def at(cls, file: LogFile, offset: int) -> Self:
        """Of what an open file has there.

        Raises:
            OSError: it cannot be read.
        """
        return cls.of(offset, file.read(HEAD_OCTETS, 0), before(file, offset))

    def fits(self, file: LogFile) -> bool:
        """Whether the file has this content there.

        Raises:
            OSError: it cannot be read.
        """
        if _digest(file.read(self.octets, 0) if self.octets else b"") != self.head:
            return not self.octets  # also where the file is shorter
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
