"""What a spool's directory holds after whatever end: found without refusing, told in full."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay.spool import segment
from relay.spool.cursor import Cursor, newest
from relay.spool.holes import above
from relay.spool.segment import HEADER_OCTETS, Corrupt, Header
from relay.system.ports import Directory

CURSOR = "cursor"
OURS = ("lock", CURSOR)
_NAME = re.compile(r"([0-9]{20})\.seg")


def segment_name(first: int) -> str:
    return f"{first:020}.seg"


@dataclass(slots=True, eq=False)
class Part:
    """One segment file: the numbers from `first` to `end`, as far as they are in it."""

    name: str
    first: int
    end: int
    octets: int  # of it that are in use
    readable: bool = True  # False: of a newer version


@dataclass(slots=True, eq=False)
class Report:
    """What opening a spool has found out of the ordinary."""

    messages: int = 0  # between settled and next, as far as the numbers say
    torn_octets: int = 0  # cut off behind the last whole frame
    cursor_lost: bool = False  # neither slot is whole: everything on disk comes again
    aliens: list[str] = field(default_factory=list)  # files that are none of ours
    unreadable: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For the log."""
        found = []
        if self.cursor_lost:
            found.append("no whole cursor: everything that is on disk is delivered again")
        if self.torn_octets:
            found.append(f"{self.torn_octets} octets of an unfinished write were cut off")
        found += [f"{name} is none of ours, and left alone" for name in self.aliens]
        found += [f"{name} cannot be read, and is left as it is" for name in self.unreadable]
        return found


@dataclass(slots=True, eq=False)
class Found:
    """The store as it is on disk."""

    store: bytes
    parts: list[Part]
    cursor: Cursor
    report: Report


def recover(directory: Directory, *, next_min: int, settled_min: int) -> Found:
    """Look at an open directory, and cut the torn end of its last segment off.

    Reads headers and the last segment; all else is verified when it is read. Doing it again finds
    the same. Numbers between the end of what is on disk and the next one are a hole: nothing of
    them is here.

    Raises:
        OSError: the directory or a file cannot be used; never because of what is in it.
    """
    report = Report()
    sizes = directory.sizes()
    cursor = _cursor(directory, sizes, report)
    headers = _headers(directory, sizes)
    owners = [it.store for it in headers.values() if it is not None]
    store = cursor.store if cursor else owners[0] if owners else directory.new_identity()
    parts = _parts(sizes, headers, store, report)
    report.aliens += directory.others()
    end = _cut_end(directory, parts, store, report)
    for part in parts:
        for first, last in cursor.holes if cursor else ():
            if part.first < first < part.end <= last:
                part.end = first  # the hole behind it is not in it
    _sync(directory, [part for part in parts if not cursor or part.end > cursor.next])
    if cursor and cursor.next > end:  # it was durable, and is gone: damage at the end
        end = cursor.next
        if parts:
            parts[-1].end = end
    oldest = parts[0].first if parts else max(end, next_min)
    settled = max(cursor.settled if cursor else oldest, settled_min)
    holes = above(cursor.holes if cursor else (), settled)
    number = max([end, next_min, settled, *(hole[1] for hole in holes)])
    behind = max([end, settled, *(hole[1] for hole in holes)])
    if number > behind:
        holes.append((behind, number))
    report.messages = max(0, end - settled) - sum(
        max(0, min(last, end) - max(first, settled)) for first, last in holes
    )
    generation = cursor.generation if cursor else 0
    return Found(store, parts, Cursor(store, generation, settled, number, holes), report)


def _cursor(directory: Directory, sizes: Mapping[str, int], report: Report) -> Cursor | None:
    content = _content(directory, CURSOR, 8192) if CURSOR in sizes else b""
    cursor = newest(content)
    report.cursor_lost = cursor is None and any(content)
    return cursor


def _headers(directory: Directory, sizes: Mapping[str, int]) -> dict[str, Header | None]:
    """What the segments say of themselves, by name, oldest first; None where that is damaged."""
    headers: dict[str, Header | None] = {}
    for name in sorted(filter(_NAME.fullmatch, sizes)):
        try:
            headers[name] = segment.parse_header(_content(directory, name, HEADER_OCTETS))
        except Corrupt:
            headers[name] = None
    return headers


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


def _cut_end(directory: Directory, parts: list[Part], store: bytes, report: Report) -> int:
    """Find where the last segment ends, and cut what follows; returns the number after it."""
    if not parts:
        return 0
    last = parts[-1]
    if not last.readable:
        return last.end  # it had one message at least; how many is not known
    content = _content(directory, last.name, last.octets)
    at, number = HEADER_OCTETS, last.first
    while found := segment.next_frame(content, at, store):
        at, number = found.end, found.next
    report.torn_octets = len(content[at:].rstrip(b"\0"))
    if number == last.first:  # made, and never written
        directory.unlink(last.name)
        parts.pop()
        return number
    if len(content) > at:
        file = directory.open_file(last.name)
        try:
            file.truncate(at)
        finally:
            file.close()
    last.octets, last.end = at, number
    return number


def _sync(directory: Directory, parts: Sequence[Part]) -> None:
    """What was recovered and may be in the page cache alone: a second end must find the same."""
    for part in parts:
        file = directory.open_file(part.name)
        try:
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
