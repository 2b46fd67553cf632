"""What a spool's directory holds after whatever end: found without refusing, told in full."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.spool import segment
from relay.spool.cursor import NAME as CURSOR
from relay.spool.cursor import Cursor, newest
from relay.spool.holes import Hole, Holes, above, past, with_hole, without
from relay.spool.segment import HEADER_OCTETS, Corrupt, Header
from relay.system.ports import Directory

OURS = ("lock", CURSOR, "probe")
_NAME = re.compile(r"([0-9]{20})\.seg")
_NUMBER_MAX = (1 << 63) - 1  # no spool gets as far; a file of a higher number is none of ours


def segment_name(first: int) -> str:
    return f"{first:020}.seg"


class Known(NamedTuple):
    """What the directory may not say: the crash page does, or who has had it open before.

    All but the numbers that are used up is about one store, and believed of no other one that lies
    in its place. Numbers between what is on disk and the next one are a hole.
    """

    next: int = 0  # numbers below are used up
    settled: int = 0  # everything below has left
    given_up: Hole = (0, 0)  # in the books as dropped: not to be delivered, if it is on disk
    store: bytes | None = None  # None: whichever it is
    in_use: bool = False  # by this process: another one is not to be taken for it


@dataclass(slots=True, eq=False, repr=False)
class Part:
    """One segment file: the numbers from `first` to `end`, as far as they are in it."""

    name: str
    first: int
    end: int
    octets: int  # of it that are in use
    readable: bool = True  # False: of a newer version


@dataclass(slots=True, eq=False, repr=False)
class Report:
    """What opening a spool has found out of the ordinary."""

    messages: int = 0  # between settled and next, as far as the numbers say
    torn_octets: int = 0  # cut off behind the last whole frame
    cursor_lost: bool = False  # neither slot is whole: everything on disk comes again
    aliens: list[str] = field(default_factory=list)  # files that are none of ours
    unreadable: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)  # of which the disk does not give all

    def lines(self) -> list[str]:
        """For the log."""
        found = []
        if self.cursor_lost:
            found.append("no whole cursor: everything that is on disk is delivered again")
        if self.torn_octets:
            found.append(f"{self.torn_octets} octets of an unfinished write were cut off")
        found += [f"{name} is none of ours, and left alone" for name in self.aliens]
        found += [f"{name} cannot be read, and is left as it is" for name in self.unreadable]
        found += [f"the disk does not give all of {name}" for name in self.bad]
        return found


@dataclass(slots=True, eq=False, repr=False)
class Found:
    """The store as it is on disk."""

    store: bytes
    parts: list[Part]
    cursor: Cursor  # where to go on
    report: Report
    saved: Cursor | None  # the one on disk
    empty: Sequence[str]  # segments without a frame: to be removed when all this is durable


class _End(NamedTuple):
    """Where the last whole frame of a segment ends."""

    octets: int
    number: int  # the next one
    torn_octets: int  # behind it


def run_before(parts: Sequence[Part], number: int) -> int:
    """Where the unbroken run of readable segments begins that leads up to this number."""
    for part in reversed(parts):
        if part.readable and part.first < number <= part.end:
            number = part.first
    return number


def cut(directory: Directory, part: Part, number: int, store: bytes) -> None:
    """Cut a segment off behind the frames below this number."""
    file = directory.open_file(part.name)
    try:
        at = segment.end_below(file.read(part.octets, 0), number, store)
        file.truncate(at)
    finally:
        file.close()
    part.octets, part.end = at, number


def recover(directory: Directory, known: Known) -> Found:
    """Look at an open directory, and cut the torn end of its last segment off.

    Reads headers and the last segment; all else is verified when it is read. Doing it again finds
    the same. Numbers between the end of what is on disk and the next one are a hole: nothing of
    them is here, and so are those that were given up.

    Raises:
        OSError: the directory or a file cannot be used; never because of what is in it.
    """
    report = Report()
    sizes = directory.sizes()
    cursor = _cursor(directory, sizes, report)
    headers = _headers(directory, sizes)
    owners = [it.store for it in headers.values() if it is not None]
    store = cursor.store if cursor else owners[0] if owners else directory.new_identity()
    if known.store not in (None, store):
        known = Known(known.next)
    holes = list(cursor.holes) if cursor else []
    if known.given_up[0] < known.given_up[1]:
        holes = with_hole(holes, known.given_up)
    parts = _parts(sizes, headers, store, report)
    report.aliens += [name for name in directory.others() if name not in OURS]
    end, empty = _cut_end(directory, parts, store, cursor, holes, report)
    for part in parts:
        for first, last in holes:
            if part.first < first < part.end <= last:
                part.end = first  # the hole behind it is not in it
    # No crash takes the cursor: where it is damaged, not all of a large spool is written again.
    secured = cursor.next if cursor else parts[-2].first if len(parts) > 1 else 0
    doubtful = [part for part in parts if part.end > secured and part.readable]
    _secure(directory, doubtful, store, secured)
    if cursor and cursor.next > end:  # the rest has left, is a hole, or its files are gone
        end = cursor.next
    oldest = parts[0].first if parts else max(end, known.next)
    settled = max(cursor.settled if cursor else oldest, known.settled)
    holes = above(holes, settled)
    number = max([end, known.next, settled, *(hole[1] for hole in holes)])
    if number > (behind := max(end, settled)):
        holes = with_hole(holes, (behind, number))
    report.messages = without(holes, settled, end)
    return Found(store, parts, Cursor(store, 0, settled, number, holes), report, cursor, empty)


def _cursor(directory: Directory, sizes: Mapping[str, int], report: Report) -> Cursor | None:
    content = _content(directory, CURSOR, 8192) if CURSOR in sizes else b""
    cursor = newest(content)
    is_other = CURSOR in directory.others()  # somebody has put something else there
    report.cursor_lost = cursor is None and (any(content) or is_other)
    return cursor


def _headers(directory: Directory, sizes: Mapping[str, int]) -> dict[str, Header | None]:
    """What the segments say of themselves, by name, oldest first; None where that is damaged."""
    headers: dict[str, Header | None] = {}
    for name in sorted(filter(_is_segment, sizes)):
        try:
            headers[name] = segment.parse_header(_content(directory, name, HEADER_OCTETS))
        except Corrupt:
            headers[name] = None
    return headers


def _is_segment(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and int(found[1]) <= _NUMBER_MAX


def _parts(
    sizes: Mapping[str, int], headers: Mapping[str, Header | None], store: bytes, report: Report
) -> list[Part]:
    """The segments of this store. A damaged header costs nothing: the name has the number."""
    report.aliens += [name for name in sorted(sizes) if name not in headers and name not in OURS]
    parts: list[Part] = []
    for name, found in headers.items():
        first = int(name[:20])
        if found is not None and (found.store != store or found.first != first):
            report.aliens.append(name)
            continue
        readable = found is None or found.version == segment.VERSION
        if not readable:
            report.unreadable.append(name)
        if parts:
            parts[-1].end = first
        parts.append(Part(name, first, first + 1, sizes[name], readable))
    return parts


def _cut_end(
    directory: Directory,
    parts: list[Part],
    store: bytes,
    cursor: Cursor | None,
    holes: Holes,
    report: Report,
) -> tuple[int, Sequence[str]]:
    """Find where what is on disk ends, and cut what follows; returns the number after it.

    The last segments may have been made and never written: they are taken out, and named. What is
    missing and was durable is damage, not an unfinished write, and left for the reader to put
    aside.
    """
    empty: list[Part] = []
    torn = 0
    end = _End(0, 0, 0)
    while parts:
        end = _end_of(directory, parts[-1], store)
        if end.number > parts[-1].first:
            break
        torn += end.torn_octets
        empty.insert(0, parts.pop())
        end = _End(0, 0, 0)
    if cursor and past(holes, max(end.number, cursor.settled)) < cursor.next:
        parts += [part for part in empty if part.first < cursor.next]
        if parts:
            parts[-1].end = cursor.next
        return cursor.next, [part.name for part in empty if part.first >= cursor.next]
    if parts:
        parts[-1].end = end.number
        _truncate(directory, parts[-1], end.octets)
    report.torn_octets = torn + end.torn_octets
    return end.number, [part.name for part in empty]


def _end_of(directory: Directory, part: Part, store: bytes) -> _End:
    if not part.readable:
        return _End(part.octets, part.end, 0)  # it has one message at least
    content = _content(directory, part.name, part.octets)
    at, number = HEADER_OCTETS, part.first
    while found := segment.next_frame(content, at, store):
        at, number = found.end, max(number, found.next)
    return _End(at, number, len(content[at:].rstrip(b"\0")))


def _truncate(directory: Directory, part: Part, octets: int) -> None:
    if part.octets > octets:
        file = directory.open_file(part.name)
        try:
            file.truncate(octets)
        finally:
            file.close()
    part.octets = octets


def _secure(directory: Directory, parts: Sequence[Part], store: bytes, number: int) -> None:
    """Make durable what was recovered from this number on: a second end must find the same.

    It may be in the page cache alone, and its pages may be clean since a sync that failed, so that
    another one would prove nothing: it is written again.
    """
    for part in parts:
        file = directory.open_file(part.name)
        try:
            content = file.read(part.octets, 0)
            at = segment.end_below(content, number, store) if part.first < number else 0
            file.write(content[at:], at)
            file.sync()
        finally:
            file.close()
    directory.sync()


def _content(directory: Directory, name: str, octets: int) -> bytes:
    file = directory.open_file(name)
    try:
        return file.read(octets, 0)
    finally:
        file.close()
