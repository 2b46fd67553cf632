"""Having the next process deliver again what has left and is still on disk."""

from dataclasses import dataclass, field

from relay.spool.cursor import HOLES_MAX, Cursor, CursorFile
from relay.spool.holes import Hole, with_hole, without
from relay.spool.reader import Damaged, Reader
from relay.spool.recovery import Found, Known, recover
from relay.system.ports import Directory

READ_OCTETS = 1 << 20


@dataclass(frozen=True, slots=True)
class Rewound:
    """Numbers from `first` on are held again."""

    first: int
    next: int
    messages: int  # that have left and come again
    held: int  # that had not left
    store: bytes = field(default=b"", compare=False)


def rewind(directory: Directory, first: int = 0, *, known: Known) -> Rewound:
    """Set the cursor back to this number, or to the oldest one that is on disk.

    `Store.open` would remove the segments that the cursor has passed. What is not on disk any more
    is a hole from now on, and no damage: it has left, or was never written. With more holes than a
    cursor has room for, it is set back no further than the last of them allow.

    Raises:
        BlockingIOError: another process has the directory.
        OSError: it cannot be used.
    """
    directory.open()
    try:
        found = recover(directory, known)
        settled = found.cursor.settled
        oldest = min([settled, *(part.first for part in found.parts)])
        start = min(max(first, oldest), settled)
        holes = _holes(directory, found, start)
        if len(holes) > HOLES_MAX:
            start = min(holes[-HOLES_MAX - 1][1], settled)
            holes = holes[-HOLES_MAX:]
        messages = without(holes, start, settled)
        cursor = found.cursor._replace(settled=start if messages else settled, holes=holes)
        _save(directory, found, cursor)
    finally:
        directory.close()
    return Rewound(cursor.settled, cursor.next, messages, found.report.messages, found.store)


def _holes(directory: Directory, found: Found, start: int) -> list[Hole]:
    """Those of a cursor that is set back to this number."""
    holes = list(found.cursor.holes)
    number, settled = start, found.cursor.settled
    reader = Reader(directory)
    try:
        while number < settled:
            for item in reader.read(found.parts, (), found.store, number, settled, READ_OCTETS):
                number = item.end
                if isinstance(item, Damaged):
                    holes = with_hole(holes, (item.first, min(item.end, settled)))
    finally:
        reader.forget()
    return holes


def _save(directory: Directory, found: Found, cursor: Cursor) -> None:
    file = CursorFile(directory, found.saved)
    try:
        file.save(cursor, sync=True)
    finally:
        file.close()
    for name in found.empty:
        directory.unlink(name)
    directory.sync()
