"""What is done to a spool while no relay runs: give messages up, have them delivered again, move.

The crash page has to say the same as the spool, or the next process would book what was given up
as lost in a crash, or take what is to be delivered again for delivered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.spool.cursor import HOLES_MAX, Cursor, CursorFile
from relay.spool.holes import Hole, with_hole
from relay.spool.page import CrashPage, PipeRecord
from relay.spool.reader import CHUNK_OCTETS, Damaged, Reader
from relay.spool.recovery import Found, recover
from relay.spool.store import Store
from relay.system.ports import Directory

NOTHING = PipeRecord(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `first` to `end`, and how many messages are in them."""

    first: int
    end: int
    messages: int


def purge(directory: Directory, page: CrashPage, pipe: str, end: int) -> Range:
    """Give up what a spool holds below this number; everything below counts as gone.

    Raises:
        BlockingIOError: a process has the spool.
        OSError: the disk fails.
    """
    next_min, settled_min = _known(page, pipe)
    store = Store.open(directory, octets_max=0, next_min=next_min, settled_min=settled_min)
    try:
        first, end = store.settled, max(store.settled, min(end, store.next))
        messages = end - first - _in_holes(store.holes, first, end)
        store.settle(end)
        store.save_cursor(sync=True)
    finally:
        store.close()
    if record := page.believed().get(pipe):
        page.amend(pipe, replace(record, dropped=record.dropped + messages, head=end))
    return Range(first, end, messages)


def rewind(directory: Directory, page: CrashPage, pipe: str, first: int = 0) -> Range:
    """Have the next process deliver again what has left from this number on and is still on disk.

    What is on disk no more is a hole from now on. With more of them than a cursor has room for it
    begins behind the first ones.

    Raises:
        BlockingIOError: a process has the spool.
        OSError: the disk fails.
    """
    next_min, settled_min = _known(page, pipe)
    directory.open()
    try:
        found = recover(directory, next_min=next_min, settled_min=settled_min)
        settled = found.cursor.settled
        start = min(max([first, *(it.first for it in found.parts[:1])]), settled)
        holes = _holes_from(directory, found, start)
        if len(holes) > HOLES_MAX:
            start = holes[-HOLES_MAX - 1][1]
            holes = holes[-HOLES_MAX:]
        messages = settled - start - _in_holes(holes, start, settled) if found.parts else 0
        if messages > 0:
            _save(directory, found, replace(found.cursor, settled=start, holes=holes))
    finally:
        directory.close()
    if messages <= 0:
        return Range(settled, settled, 0)
    if record := page.believed().get(pipe):
        page.amend(pipe, replace(record, recovered=record.recovered + messages, head=start))
    return Range(start, settled, messages)


def make_way(page: CrashPage, new: str) -> None:
    """Before the spool of one pipe becomes another's: nothing in it has left for that one yet."""
    if record := page.before.get(new):
        page.amend(new, replace(record, head=0))


def give_book(page: CrashPage, old: str, new: str) -> None:
    """After that: what the old pipe held, the new one holds."""
    old_record, new_record = page.before.get(old), page.before.get(new)
    if old_record is None:
        return
    other = new_record or NOTHING
    page.amend(new, PipeRecord(
        received=old_record.received + other.received,
        recovered=old_record.recovered + other.recovered,
        filtered=old_record.filtered + other.filtered,
        delivered=old_record.delivered + other.delivered,
        dropped=old_record.dropped + other.dropped,
        next=old_record.next,
        head=old_record.head,
        at_risk=old_record.at_risk + other.at_risk,
    ))  # fmt: skip
    page.amend(old, replace(NOTHING, next=old_record.next, head=old_record.next))


# -- below


def _known(page: CrashPage, pipe: str) -> tuple[int, int]:
    """Below which number all are used up, and below which all have left, as far as the page says.

    As the relay itself begins with a spool.
    """
    used, believed = page.before.get(pipe), page.believed().get(pipe)
    return used.next if used else 0, believed.head if believed else 0


def _in_holes(holes: Sequence[Hole], first: int, end: int) -> int:
    return sum(max(0, min(it[1], end) - max(it[0], first)) for it in holes)


def _holes_from(directory: Directory, found: Found, start: int) -> list[Hole]:
    """The holes of a cursor that is set back to this number."""
    reader = Reader(directory)
    holes = list(found.cursor.holes)
    number, settled = start, found.cursor.settled
    try:
        while number < settled:
            for item in reader.read(found.parts, (), found.store, number, settled, CHUNK_OCTETS):
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
