"""Numbered messages, and streams of them in every framing, both ways."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

Framing = Literal["lf", "nul", "octet"]

FRAMINGS: tuple[Framing, ...] = ("lf", "nul", "octet")
TERMINATORS = {"lf": b"\n", "nul": b"\0"}

# What a relay must carry unchanged: tab, ESC, UTF-8, what is not UTF-8, what looks like an escape.
TEXTS = (
    b"plain",
    "Grüße \u20ac".encode(),
    b"\xff\xfe\x80",
    b"tab\tesc\x1b[1m",
    b"#012 #000 #",
    b"",
)

NUMBER = re.compile(rb"\bfrom=(\w+) seq=(\d+);")


def numbered(count: int, sender: str = "a", start: int = 0) -> list[bytes]:
    """Messages that say who sent them and where in the row they stand; complete RFC 5424."""
    head = b"<134>1 2026-11-23T07:28:45Z h app - - - from=%b seq=" % sender.encode()
    return [
        b"%b%d;%b" % (head, number, TEXTS[number % len(TEXTS)])
        for number in range(start, start + count)
    ]


def stream(messages: Iterable[bytes], framing: Framing) -> bytes:
    """The messages as a sender puts them on a connection (RFC 6587 §3.4)."""
    if framing == "octet":
        return b"".join([b"%d %b" % (len(message), message) for message in messages])
    terminator = TERMINATORS[framing]
    return b"".join([message + terminator for message in messages])


def split(data: bytes, framing: Framing) -> tuple[list[bytes], bytes]:
    """The whole messages on a connection, and the beginning of one at its end.

    Raises:
        AssertionError: an octet count is none.
    """
    if framing != "octet":
        *messages, rest = data.split(TERMINATORS[framing])
        return messages, rest
    messages = []
    at = 0
    while (space := data.find(b" ", at, at + 12)) > 0:
        count = data[at:space]
        assert count.isdigit(), data[at : at + 200]
        end = space + 1 + int(count)
        if end > len(data):
            break
        messages.append(data[space + 1 : end])
        at = end
    assert len(data) - at < 12 or b" " in data[at : at + 12], data[at : at + 200]
    return messages, data[at:]


def numbers(messages: Iterable[bytes]) -> dict[str, list[int]]:
    """For each sender the numbers of its messages, in order; others do not count."""
    found: dict[str, list[int]] = {}
    for message in messages:
        if number := NUMBER.search(message):
            found.setdefault(number[1].decode(), []).append(int(number[2]))
    return found


_NOTICE = re.compile(
    rb"dropped (\d+) messages? (?:from .* )?to (destination|listener) (\S+): ([\w-]+)"
)


def told(messages: Iterable[bytes]) -> dict[tuple[str, str], int]:
    """What notices of loss say in all, by the destination or listener and the reason."""
    sums: dict[tuple[str, str], int] = {}
    for message in messages:
        if notice := _NOTICE.search(message):
            key = notice[3].decode(), notice[4].decode()
            sums[key] = sums.get(key, 0) + int(notice[1])
    return sums


def in_order(found: Sequence[int]) -> bool:
    """Each once, and none overtaken."""
    return all(a < b for a, b in pairwise(found))
