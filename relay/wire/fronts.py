"""What plain headers become: the short way to another format, which nearly all messages take.

`formats` has the exact conversions, for all headers. What is found here is the same octet for octet
(tests/wire/test_fronts.py). Many messages of a second have the same RFC 3164 header, so what
becomes of that is remembered.
"""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Literal

from relay.wire.json_line import plain_before_text
from relay.wire.notation import whole_stamp
from relay.wire.plain import PLAIN3164, PLAIN5424
from relay.wire.timestamp import bsd, rfc3339

Kind = Literal["rfc5424", "rfc3164", "json"]

_NS = 10**9
_BOM = b"\xef\xbb\xbf"
_ENTRIES_MAX = 2048
_HEAD_OCTETS_MAX = 160  # so at most 1.3 MiB, with the JSON of the longest


class Fronts:
    """What stands in front of the text in one format, of messages received in one second.

    Invariant: at most `_ENTRIES_MAX` heads and as many stamps are remembered.
    """

    def __init__(self, kind: Kind, second: int, zone: tzinfo) -> None:
        self.by_head: dict[bytes, bytes] = {}
        """By what stands before the first `: `; empty where the message stays as it is."""
        self._kind = kind
        self._front = _FRONTS[kind]
        self._second = second
        self._zone = zone
        self._stamps: dict[bytes, bytes] = {}  # empty where there is no moment

    def look(self, message: bytes) -> tuple[bytes, bytes] | None:
        """Front and text of one message; None: its header is not plain, or it has no text."""
        if message.find(b">1 ", 2, 7) > 0:
            return self._look5424(message)
        found = PLAIN3164.match(message)
        if found is None:
            return None
        pri, bsd_stamp, stamp, host, program, procid = found.groups()
        written = self._bsd(bsd_stamp) if bsd_stamp else self._rfc3339(stamp)
        end = found.end()
        if not written or end == len(message):
            return None
        if bsd_stamp and self._kind == "rfc3164":
            front = b""
        else:
            front = self._front(pri, written, (host, program, procid or b"-", b"-", b"-"))
        if bsd_stamp and end <= _HEAD_OCTETS_MAX:  # others, with a fraction, come once
            _remember(self.by_head, message[: end - len(b": ")], front)
        return front, message[end:]

    def _look5424(self, message: bytes) -> tuple[bytes, bytes] | None:
        found = PLAIN5424.match(message)
        if found is None:
            return None
        pri, stamp, *fields = found.groups()
        written = self._rfc3339(stamp)
        text = message[found.end() :].removeprefix(_BOM)
        if not written or not text:
            return None
        if self._kind == "rfc5424":
            return b"", text
        return self._front(pri, written, fields), text

    def _bsd(self, text: bytes) -> bytes:
        written = self._stamps.get(text)
        if written is None:
            written = self._written(text)
            _remember(self._stamps, text, written)
        return written

    def _rfc3339(self, text: bytes) -> bytes:
        """Remembered is the second. No stamp here has more than six digits of a fraction."""
        zone_at = -1 if text.endswith(b"Z") else -6
        second = text[:19] + text[zone_at:]
        written = self._stamps.get(second)
        if written is None:
            written = self._written(second)
            _remember(self._stamps, second, written)
        if not written or self._kind == "rfc3164":
            return written
        if self._kind == "rfc5424":
            return text  # with the origin's own precision and offset
        fraction = text[20:zone_at].rstrip(b"0")
        return b"%b%bZ" % (written[:20], fraction.ljust(3 if len(fraction) <= 3 else 6, b"0"))

    def _written(self, text: bytes) -> bytes:
        """The moment of a whole second; empty where it is none, or not the same for all batches."""
        stamp = whole_stamp(text)
        if stamp is None:
            return b""
        moment = stamp.to_ns(self._second * _NS, self._zone)
        if moment != stamp.to_ns(self._second * _NS + _NS - 1, self._zone):
            return b""
        return bsd(moment, self._zone) if self._kind == "rfc3164" else rfc3339(moment)


@lru_cache(maxsize=16)  # formats and zones, of this second and the last
def fronts(kind: Kind, second: int, zone: tzinfo) -> Fronts:
    return Fronts(kind, second, zone)


def _remember(known: dict[bytes, bytes], key: bytes, value: bytes) -> None:
    if len(known) >= _ENTRIES_MAX:
        known.clear()
    known[key] = value


def _rfc5424(pri: bytes, stamp: bytes, fields: Sequence[bytes]) -> bytes:
    return b"%b1 %b %b %b %b %b %b " % (pri, stamp, *fields)


def _rfc3164(pri: bytes, stamp: bytes, fields: Sequence[bytes]) -> bytes:
    host, program, procid, msgid, data = fields
    number = b"[%b]" % procid if procid != b"-" else b""
    tag = b"%b%b: " % (program, number) if number or program != b"-" else b""
    more = b"".join([b"%b " % it for it in (msgid, data) if it != b"-"])
    return b"%b%b %b %b%b" % (pri, stamp, host, tag, more)


_FRONTS: dict[Kind, Callable[[bytes, bytes, Sequence[bytes]], bytes]] = {
    "rfc5424": _rfc5424, "rfc3164": _rfc3164, "json": plain_before_text,
}  # fmt: skip
