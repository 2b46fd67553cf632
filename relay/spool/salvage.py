"""Reading what a disk still gives of files of which it does not give all.

A disk that fails as a whole gives nothing, and may come back: what cannot be read is believed to be
lost only after the same directory has taken something, and given it back from the medium.
"""

import errno
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.system.ports import Directory, RandomFile

BLOCK_OCTETS = 4096  # the smallest piece: a page
FAILURES_MAX = 100  # reads that fail before pieces are no longer cut: a disk may take seconds each
UNREADABLE = {errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EILSEQ}

Piece = tuple[int, int]  # offset and end


def is_unreadable(fault: OSError) -> bool:
    """Whether it is the medium that fails, and not a permission, a limit or a lack of room."""
    return fault.errno in UNREADABLE


@dataclass(slots=True, eq=False, repr=False)
class Salvaging:
    """A `Directory` whose files read as zeros where the disk cannot read them.

    Invariant: `bad` has, by name, the pieces that could not be read while the disk worked. They are
    neither tried again nor written to.
    """

    directory: Directory
    bad: dict[str, list[Piece]] = field(default_factory=dict)

    def open_file(self, name: str) -> "SalvagingFile":
        try:
            return SalvagingFile(self, name, self.directory.open_file(name))
        except OSError as fault:
            if not is_unreadable(fault):
                raise
        return SalvagingFile(self, name, None)

    def open(self) -> None:
        self.directory.open()

    def new_identity(self) -> bytes:
        return self.directory.new_identity()

    def sizes(self) -> Mapping[str, int]:
        return self.directory.sizes()

    def others(self) -> list[str]:
        return self.directory.others()

    def create(self, name: str) -> RandomFile:
        return self.directory.create(name)

    def unlink(self, name: str) -> None:
        self.directory.unlink(name)

    def sync(self) -> None:
        self.directory.sync()

    def probe(self) -> None:
        self.directory.probe()

    def quarantine(self, name: str, data: bytes) -> None:
        self.directory.quarantine(name, data)

    def set_aside(self, name: str) -> None:
        self.directory.set_aside(name)

    def close(self) -> None:
        self.directory.close()


class SalvagingFile(NamedTuple):
    """Invariant: no octet is a zero for a fault while the disk fails as a whole."""

    directory: Salvaging
    name: str
    file: RandomFile | None  # None: it cannot even be opened

    def read(self, octets: int, offset: int) -> bytes:
        """What can be read, with zeros between.

        Raises:
            OSError: the disk fails as a whole, or otherwise than in reading.
        """
        content = bytearray(octets)
        end = max((min(stop, offset + octets) for _, stop in self._bad), default=offset)
        found: list[Piece] = []
        failures = 0
        pieces = deque(self._sound(offset, offset + octets))
        while pieces:
            at, stop = pieces.popleft()
            try:
                data = self._read(stop - at, at)
            except OSError as fault:
                if not is_unreadable(fault):
                    raise
                failures += 1
                is_one_block = at // BLOCK_OCTETS == (stop - 1) // BLOCK_OCTETS
                if not is_one_block and failures < FAILURES_MAX:
                    middle = _middle(at, stop)
                    pieces += [(at, middle), (middle, stop)]
                else:
                    found.append((at, stop))
                continue
            content[at - offset : at - offset + len(data)] = data
            end = max(end, at + len(data))
        if found:
            self.directory.probe()
            self.directory.bad[self.name] = sorted([*self._bad, *found])
            end = max(end, *(stop for _, stop in found))
        return bytes(content[: end - offset])

    def write(self, data: bytes | bytearray, offset: int) -> None:
        """Written where it can be read."""
        if self.file is not None:
            for at, stop in self._sound(offset, offset + len(data)):
                self.file.write(data[at - offset : stop - offset], at)

    def truncate(self, size: int) -> None:
        if self.file is not None:
            self.file.truncate(size)

    def allocate(self, size: int) -> None:
        if self.file is not None:
            self.file.allocate(size)

    def sync(self) -> None:
        if self.file is not None:
            self.file.sync()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    @property
    def _bad(self) -> list[Piece]:
        return self.directory.bad.get(self.name, [])

    def _sound(self, at: int, end: int) -> Iterator[Piece]:
        """The pieces of this range that are not known to be bad."""
        for bad, bad_end in self._bad:
            if at < min(bad, end):
                yield at, min(bad, end)
            at = max(at, bad_end)
        if at < end:
            yield at, end

    def _read(self, octets: int, offset: int) -> bytes:
        if self.file is None:
            raise OSError(errno.EIO, "cannot be opened", self.name)
        return self.file.read(octets, offset)


def _middle(at: int, end: int) -> int:
    """Where to cut a piece of several blocks: where one of them begins."""
    middle = (at + end) // 2 // BLOCK_OCTETS * BLOCK_OCTETS
    return middle if middle > at else (at // BLOCK_OCTETS + 1) * BLOCK_OCTETS
