"""What the generators send: numbered messages, all of one size, made before the clock."""

from typing import Literal

OCTETS = 256
DISTINCT = 4096  # 1 MiB of them, sent over and over; a run counts octets, not numbers

Dialect = Literal["rfc5424", "rfc3164", "fleet"]
"""`fleet` is RFC 3164, and no two messages are of the same host and process."""


def message(number: int, octets: int = OCTETS, dialect: Dialect = "rfc5424") -> bytes:
    """Priorities and seconds differ, so that no cache of the receiver has it too easy."""
    priority = 100 + number % 92  # three digits each, up to 191
    second, millisecond = divmod(number % DISTINCT, 1000)
    stamp = b"2026-11-23T07:28:%02d.%03dZ" % (second, millisecond)
    if dialect == "rfc3164":
        head = b"<%d>Nov 23 07:28:%02d bench generator[4711]: " % (priority, second)
    elif dialect == "fleet":
        distinct = number % DISTINCT
        names = distinct, 4711 + distinct
        head = b"<%d>Nov 23 07:28:%02d bench%04d generator[%d]: " % (priority, second, *names)
    else:
        head = b"<%d>1 %b bench generator 4711 ID47 - " % (priority, stamp)
    text = b"number %010d " % number
    if len(head) + len(text) > octets:  # a short one has a short header
        head, text = b"<%d>1 %b bench g - - - " % (priority, stamp), b"%010d " % number
    return (head + text).ljust(octets, b".")


def messages(octets: int = OCTETS, dialect: Dialect = "rfc5424") -> list[bytes]:
    return [message(number, octets, dialect) for number in range(DISTINCT)]


def line_octets(count: int, octets: int = OCTETS) -> int:
    """So many messages, each ended by LF."""
    return count * (octets + 1)


def counted_octets(count: int, octets: int = OCTETS) -> int:
    """So many messages, octet counted (RFC 6587 §3.4.1)."""
    return count * (len(b"%d " % octets) + octets)
