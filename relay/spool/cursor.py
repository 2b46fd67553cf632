"""How far a spool has been delivered: two slots in one file, written in turn.

    slot   magic 8, version 4, store 16, generation 8, settled 8, next 8, holes 4,
           up to 24 holes (first 8, end 8), zeros, CRC 4; 512 octets, at 0 and at 4096

Whole or not at all: a write that is torn leaves the other slot.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"relaycur"
VERSION = 1
SLOT_OCTETS = 512
SLOTS = (0, 4096)  # each in a page of its own
HOLES_MAX = 24

_SLOT = struct.Struct("<8sI16sQQQI")
_HOLE = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything below `settled` has left; everything below `next` was durable."""

    store: bytes
    generation: int
    settled: int
    next: int
    holes: Sequence[tuple[int, int]] = ()  # dropped ranges above `settled`, rising


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
