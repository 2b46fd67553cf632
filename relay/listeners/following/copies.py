"""Copies: a file by another inode, compressed or not, whose content is known."""

import enum
from collections.abc import Iterable, Sequence

from relay.listeners.following.followed import Followed
from relay.listeners.following.listing import is_compressed
from relay.listeners.following.names import READABLE
from relay.listeners.following.trace import HEAD_OCTETS, Trace, before
from relay.system.ports import LogFile, LogFiles, Stat

EVIDENCE_OCTETS = 64  # less may be alike by chance: a first line that every log begins with


class Verdict(enum.Enum):
    NEW = "new"  # a file of its own
    KNOWN = "known"  # a copy of what was read, or is being read from the file itself
    REST = "rest"  # a copy of what was read, and perhaps more
    WAIT = "wait"  # perhaps a copy in the making


class Unsure(Exception):
    """A copy may be in the making: a file that was there cannot be read now."""


def find_copy(
    ports: LogFiles, trace: Trace, paths: Iterable[tuple[str, str]]
) -> tuple[str, Stat, LogFile] | None:
    """The first of these files, each with its key, that has the content of the trace; open.

    Raises:
        Unsure: none has, but not all could be read.
    """
    unread = False
    for path, key in paths if trace.octets else ():
        if is_compressed(path) and not path.endswith(READABLE):
            continue
        try:
            file = ports.open(path)
            stat = file.stat()
            if stat.key == key and trace.fits(file):
                return path, stat, file
            file.close()
            unread = unread or stat.key != key  # it has another name by now
        except OSError:
            unread = True
    if unread:
        raise Unsure
    return None


def shorter_copy(ports: LogFiles, head: bytes, path: str) -> bool:
    """Whether a file is a copy that ends before what was read, as far as its beginning can tell."""
    if is_compressed(path):
        return False
    try:
        file = ports.open(path)
        found = file.read(HEAD_OCTETS, 0)
        file.close()
    except OSError:
        return False
    return bool(found) and head.startswith(found)


def copied(
    ports: LogFiles, path: str, others: Sequence[Followed]
) -> tuple[Verdict, Followed | None]:
    """What a rotated file is that nobody knows, beside those of its group that are known.

    Only what is still written to is copied; and what is compressed was known before, if at all.
    """
    try:
        file = ports.open(path)
    except OSError:
        return Verdict.WAIT, None
    try:
        for other in others:
            compressed = is_compressed(path)
            verdict = _compressed(file, other) if compressed else _plain(file, other)
            if verdict is not Verdict.NEW:
                return verdict, other
    except OSError:  # compressed only in part, so far
        return Verdict.WAIT, None
    finally:
        file.close()
    return Verdict.NEW, None


def _plain(file: LogFile, other: Followed) -> Verdict:
    size = file.stat().size
    if not size:
        return Verdict.WAIT
    if other.file is None or other.away_since is not None or is_compressed(other.path):
        return Verdict.NEW
    there = other.file.stat().size
    if there < other.lines.end:
        return Verdict.WAIT  # truncated this moment; the next look finds out what this is
    common = min(size, there)
    if not common or size > there:
        return Verdict.NEW
    head = file.read(min(common, HEAD_OCTETS), 0)
    alike = head == other.file.read(len(head), 0) and before(file, common) == before(
        other.file, common
    )
    return Verdict.WAIT if alike or not other.intact() else Verdict.NEW


def _compressed(file: LogFile, other: Followed) -> Verdict:
    trace = other.trace
    if not trace.offset and other.file is not None and not is_compressed(other.path):
        head = file.read(HEAD_OCTETS, 0)
        alike = bool(head) and head == other.file.read(len(head), 0)
        return Verdict.KNOWN if alike else Verdict.NEW
    if not (trace.octets and trace.fits(file)):
        return Verdict.NEW
    if trace.octets < EVIDENCE_OCTETS and file.read(1, trace.octets):
        return Verdict.NEW
    return Verdict.REST if other.done else Verdict.KNOWN
