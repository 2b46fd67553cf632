"""Copies: a file by another inode, compressed or not, whose content is known."""

from dataclasses import replace

from relay.listeners.following.followed import Followed
from relay.listeners.following.listing import is_compressed
from relay.listeners.following.trace import HEAD_OCTETS, Trace, before
from relay.system.ports import LogFile

EVIDENCE_OCTETS = 64  # less may be alike by chance: a first line that every log begins with


def has(file: LogFile, trace: Trace) -> bool:
    """Whether a file has the content of a trace; of a short one, if it has nothing else.

    Raises:
        OSError: it cannot be read, or is compressed only in part so far.
    """
    if not (trace.octets and trace.fits(file)):
        return False
    return trace.octets >= EVIDENCE_OCTETS or not trace.offset or not file.read(1, trace.offset)


def begins_as(file: LogFile, trace: Trace) -> bool:
    """Whether a file, which may be cut short, begins with what stands at the beginning of a trace.

    Raises:
        OSError: not even that can be read.
    """
    return trace.octets > 0 and replace(trace, offset=0, tail=Trace().tail).fits(file)


def may_be_copy(file: LogFile, path: str, other: Followed) -> bool:
    """Whether this may be a copy, perhaps in the making, of a file that is there as well.

    Raises:
        OSError: it cannot be read, or is compressed only in part so far.
    """
    if other.file is None or is_compressed(other.path):
        return has(file, other.trace)
    if is_compressed(path):
        alike = has(file, other.trace) if other.trace.offset else _head_alike(file, other.file)
    else:
        size, there = file.stat().size, other.file.stat().size
        common = min(size, there)
        alike = 0 < size <= there and _alike(file, other.file, common)
    return alike or not other.intact()  # asked last: it is truncated after its copy is made


def _head_alike(file: LogFile, other: LogFile) -> bool:
    head = file.read(HEAD_OCTETS, 0)
    return bool(head) and head == other.read(len(head), 0)


def _alike(file: LogFile, other: LogFile, octets: int) -> bool:
    head = file.read(min(octets, HEAD_OCTETS), 0)
    return head == other.read(len(head), 0) and before(file, octets) == before(other, octets)
