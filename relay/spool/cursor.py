"""How far a spool has been delivered: two slots in one file, written in turn.

    slot   magic 8, version 4, store 16, generation 8, settled 8, next 8, holes 4,
           up to 24 holes (first 8, end 8), zeros, CRC 4; 512 octets, at 0 and at 4096

Whole or not at all: a write that is torn leaves the other slot, and the other slot is durable.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from relay.spool.creation import create
from relay.system.ports import Directory, RandomFile

NAME = "cursor"
MAGIC = b"relaycur"
VERSION = 1
SLOT_OCTETS = 512
SLOTS = (0, 4096)  # each in a page of its own
HOLES_MAX = 24

_SLOT = struct.Struct("<8sI16sQQQI")
_HOLE = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


class Cursor(NamedTuple):
    """Everything below `settled` has left; everything below `next` was durable."""

    store: bytes
    generation: int
    settled: int
    next: int
    holes: Sequence[tuple[int, int]] = ()  # dropped ranges above `settled`, rising


class CursorFile:
    """The cursor on disk.

    Invariant: from the first synced save on there is a durable slot, and it is not written to
    before the other one is durable as well: any number of torn writes leaves what was synced last.
    """

    def __init__(
        self, directory: Directory, found: Cursor | None, told: list[str] | None = None
    ) -> None:
        """Begin with what a recovery has found, if it has.

        That may be in the page cache alone, and its pages may be clean since a sync that failed:
        it is written again before the other slot is. `told` gets what was in the way.
        """
        self._directory = directory
        self._told = [] if told is None else told
        self._file: RandomFile | None = None
        self._generation = found.generation if found else 0  # written last
        self._durable = 0
        if found is not None:
            self._write(found, sync=True)

    def save(self, cursor: Cursor, *, sync: bool) -> None:
        """Write it, whatever generation it says.

        Raises:
            OSError: the one before still holds.
        """
        generation = self._generation + 1
        if generation % 2 == self._durable % 2:
            generation += 1
        self._write(cursor._replace(generation=generation), sync=sync)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _write(self, cursor: Cursor, *, sync: bool) -> None:
        place, slot = pack(cursor)
        file = self._open()
        try:
            file.write(slot, place)
            if sync:
                file.sync()
        except OSError:
            self.close()  # a second sync of the same descriptor would say that all is well
            raise
        self._generation = cursor.generation
        if sync:
            self._durable = cursor.generation

    def _open(self) -> RandomFile:
        if self._file is None:
            known = NAME in self._directory.sizes()
            self._file = (
                self._directory.open_file(NAME)
                if known
                else create(self._directory, NAME, self._told)
            )
        return self._file


def pack(cursor: Cursor) -> tuple[int, bytes]:
    """Where to write it, and what."""
    assert len(cursor.holes) <= HOLES_MAX
    fixed = _SLOT.pack(
        MAGIC, VERSION, cursor.store, cursor.generation, cursor.settled, cursor.next,
        len(cursor.holes),
    )  # fmt: skip
    packed = fixed + b"".join(_HOLE.pack(*hole) for hole in cursor.holes)
    packed = packed.ljust(SLOT_OCTETS - _CRC.size, b"\0")
    return SLOTS[cursor.generation % 2], packed + _CRC.pack(zlib.crc32(packed))


def newest(content: bytes) -> Cursor | None:
    """The newer of the slots that are whole; None when none is."""
    found = [cursor for at in SLOTS if (cursor := _unpack(content[at : at + SLOT_OCTETS]))]
    return max(found, key=lambda cursor: cursor.generation, default=None)


def _unpack(slot: bytes) -> Cursor | None:
    packed, crc = slot[: -_CRC.size], slot[-_CRC.size :]
    if len(slot) != SLOT_OCTETS or crc != _CRC.pack(zlib.crc32(packed)):
        return None
    magic, version, store, generation, settled, next_number, holes = _SLOT.unpack_from(packed)
    if magic != MAGIC or version != VERSION or holes > HOLES_MAX:
        return None
    places = range(_SLOT.size, _SLOT.size + holes * _HOLE.size, _HOLE.size)
    ranges = [_HOLE.unpack_from(packed, at) for at in places]
    return Cursor(store, generation, settled, next_number, ranges)
