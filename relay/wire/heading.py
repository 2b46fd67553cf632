"""A header for lines of plain text, as a program would have written it."""

from collections.abc import Sequence

from relay.wire.message import recognised
from relay.wire.priority import priority
from relay.wire.timestamp import rfc3339


def heading(value: int, received_ns: int, host: bytes, program: bytes) -> bytes:
    """What stands in front of the text: PRI, stamp, host and tag."""
    return b"<%d>%b %b %b: " % (value, rfc3339(received_ns), host, program)


def headed(lines: Sequence[bytes], value: int, front: bytes, *, as_text: bool) -> list[bytes]:
    """Each line as a message, with `front` where it has no header of its own.

    A line with a PRI part stays as it is, one that begins with a stamp of a known dialect gets the
    PRI of `value`. With `as_text` every line is text, whatever it begins with.
    """
    if as_text:
        return [front + line for line in lines]
    pri = b"<%d>" % value
    return [
        line
        if line.startswith(b"<") and priority(line)[0] is not None
        else (pri if recognised(line, 0) else front) + line
        for line in lines
    ]
