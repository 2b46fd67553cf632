"""What plain headers become: the short way to another format, which nearly all messages take.

`formats` has the exact conversions, for all headers. What is found here is the same octet for octet
(tests/wire/test_fronts.py).

Headers repeat, and what becomes of them is remembered. Of RFC 3164 the whole of it, as the messages
that a process writes in one second have the same; then its halves, as those of a second have the
same opening (PRI and stamp) and those of a process the same names (host, program, process id). Of
RFC 5424, where hardly a stamp comes twice, the names (`ends`).

From RFC 3164 to RFC 5424, batches of 1,024 messages of 256 octets, a message takes 0.2 µs where the
whole is known, 0.75 where the halves are and 2.1 where nothing is; the exact way takes 8.
"""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Literal

from relay.wire import json_line
from relay.wire.ends import (
    NAMES_MAX,
    NAMES_OCTETS_MAX,
    NO_DATA,
    UNKNOWN,
    VAIN_ONE_IN,
    Names5424,
)
from relay.wire.notation import is_moment, whole_stamp
from relay.wire.plain import PLAIN3164, PLAIN5424, RFC3339
from relay.wire.priority import PRI_BY_PREFIX
from relay.wire.timestamp import bsd, rfc3339

Kind = Literal["rfc5424", "rfc3164", "json"]
Found = tuple[bytes, bytes]

_NS = 10**9
_BOM = b"\xef\xbb\xbf"
_BSD_STAMP_OCTETS = len(b"Mmm dd hh:mm:ss")
_BSD_OCTETS = len(b"> ") + _BSD_STAMP_OCTETS
_MILLISECONDS_OCTETS = len(b"2026-11-23T07:28:45.123Z")
_HEAD_OCTETS_MAX = len(b"<191>Mmm dd hh:mm:ss ") + NAMES_OCTETS_MAX
_HEADS_MAX = 2048  # and as many openings and stamps: 3 MB at most, of one format and zone
CUT_OCTETS_MAX = 512  # of longer ones without an end the search and the hash would cost too much
_MILLISECONDS = frozenset(b".%03dZ" % number for number in range(1000))
_NOT_PLAIN = (None, b"")


def is_versioned(message: bytes) -> bool:
    """Whether a PRI part and the version of RFC 5424 stand in front."""
    return message.find(b">1 ", 2, 7) > 0


class Fronts:
    """What stands in front of the text in one format, of messages received in one second.

    Invariant: at most `_HEADS_MAX` heads and openings, and `NAMES_MAX` names of each header, are
    remembered.
    """

    def __init__(self, kind: Kind, zone: tzinfo) -> None:
        self.by_head: dict[bytes, bytes] = {}
        """By what stands before the first `: `; empty where the message stays as it is."""
        self._kind = kind
        self._zone = zone
        self._lead, self._render = _RENDERINGS[kind]
        self._leads = {pri + b"1": self._lead(pri) for pri in PRI_BY_PREFIX}
        self._openings: dict[bytes, bytes] = {}
        self._names3164, self._names5424 = _NAMES[kind]
        self.begin(0)

    def begin(self, second: int) -> None:
        """Of messages received in this second from now on."""
        self.second = second
        self._stamps = _Stamps(self._kind, second, self._zone)
        self._openings.clear()
        self.by_head.clear()

    def look(self, message: bytes, head: bytes, text: bytes) -> Found | None:
        """Front and text of a message, which may be cut at its first `: `.

        None: its header is not plain, or it has no text.
        """
        if is_versioned(message):
            return self._look5424(message, False)
        if len(head) > _HEAD_OCTETS_MAX:
            return self._look3164(message)
        middle = head.find(b">") + _BSD_OCTETS
        opening, names = self._openings.get(head[:middle]), self._names3164.get(head[middle:])
        if opening is None or names is None or not text:
            return self._look3164(message)
        front = b"" if self._kind == "rfc3164" else opening + names
        if len(self.by_head) < _HEADS_MAX:
            self.by_head[head] = front
        return front, text

    def of5424(self, messages: Sequence[bytes]) -> tuple[Sequence[bytes | None], Sequence[bytes]]:
        """Front and text of each message of a batch, mostly of RFC 5424; None as in `look`.

        Headers are found by where they end, 0.5 µs, or looked for in vain, 0.25, and then read and
        learned; where too many are in vain (`ends`) the rest is only read.
        """
        known, lead_of = self._names5424, self._leads.get
        without_data = known.without_data
        seconds, stamp_of, milliseconds = self._stamps.utc, self._stamps.any, _MILLISECONDS
        look5424, look3164, stays = self._look5424, self._look3164, self._kind == "rfc5424"
        fronts: list[bytes | None] = []
        texts: list[bytes] = []
        front: bytes | None
        vain_left, vain, passed = known.vain_left, 0, 0
        trying = vain_left > 0
        for message in messages:
            tries = trying and len(message) <= CUT_OCTETS_MAX
            if tries:
                head, _, text = message.partition(NO_DATA)
                fields = head.split(b" ", 2)
                if len(fields) == 3:
                    version, stamp, key = fields
                    rest, names = without_data.get(key, UNKNOWN)
                    if names is None or (rest and not text.startswith(rest)):
                        names, text = known.find_with_data(message, len(version) + len(stamp) + 2)
                    elif rest:
                        text = text[len(rest) :]
                    lead = lead_of(version)
                    if lead is not None and names is not None:
                        if stamp[19:] not in milliseconds or stamp[:19] not in seconds:
                            stamp = stamp_of(stamp)
                        if text >= _BOM:  # saves a call where it cannot be one
                            text = text.removeprefix(_BOM)
                        if stamp and text:
                            fronts.append(b"" if stays else lead + stamp + names)
                            texts.append(text)
                            continue
                vain += 1
                trying = vain < vain_left + len(fronts) // VAIN_ONE_IN
            else:
                passed += 1
            found = look5424(message, tries) if is_versioned(message) else look3164(message)
            front, text = found or _NOT_PLAIN
            fronts.append(front)
            texts.append(text)
        known.settle(len(messages) - passed, passed, vain)
        return fronts, texts

    def _look3164(self, message: bytes) -> Found | None:
        found = PLAIN3164.match(message)
        if found is None:
            return None
        pri, bsd_stamp, rfc3339_stamp, host, program, procid = found.groups(b"-")
        is_bsd, end = rfc3339_stamp == b"-", found.end()
        stamp = self._stamps.bsd(bsd_stamp) if is_bsd else self._stamps.rfc3339(rfc3339_stamp)
        if not stamp or end == len(message):
            return None
        opening = self._lead(pri) + stamp
        if is_bsd and len(self._openings) < _HEADS_MAX:
            self._openings[b"%b%b " % (pri, bsd_stamp)] = opening
        key = message[found.start(4) : end - len(b": ")]
        names = self._names3164.get(key)
        if names is None:
            names = self._render((host, program, procid, b"-", b"-"))
            if len(key) <= NAMES_OCTETS_MAX:
                if len(self._names3164) >= NAMES_MAX:
                    self._names3164.clear()
                self._names3164[key] = names
        return b"" if is_bsd and self._kind == "rfc3164" else opening + names, message[end:]

    def _look5424(self, message: bytes, learns: bool) -> Found | None:
        found = PLAIN5424.match(message)
        if found is None:
            return None
        text = message[found.end() :].removeprefix(_BOM)
        if self._kind == "rfc5424" and not learns:
            return (b"", text) if text and is_moment(found[2]) else None
        stamp = self._stamps.rfc3339(found[2])
        if not stamp or not text:
            return None
        key = message[found.start(3) : found.end()]
        names = self._names5424.whole.get(key)
        if names is None:
            names = b"" if self._kind == "rfc5424" else self._render(found.groups()[2:])
            self._names5424.learn(key, names)
        if learns:
            self._names5424.learn_end(key, names)
        return b"" if self._kind == "rfc5424" else self._lead(found[1]) + stamp + names, text


class _Stamps:
    """Stamps as a format has them; empty for those that are none, or not the same all the second.

    Invariant: at most `_HEADS_MAX` are remembered.
    """

    def __init__(self, kind: Kind, second: int, zone: tzinfo) -> None:
        self._kind = kind
        self._received_ns = second * _NS
        self._zone = zone
        self._known: dict[bytes, bytes] = {}  # whole seconds
        self.utc: set[bytes] = set()  # of these those to which milliseconds are added, and no more

    def bsd(self, text: bytes) -> bytes:
        written = self._known.get(text)
        return self._learn(text) if written is None else written

    def any(self, text: bytes) -> bytes:
        """As `rfc3339`, of any text without a space."""
        zone_at = -1 if text[-1:] == b"Z" else -6
        whole, digits = self._known.get(text[:19] + text[zone_at:]), text[20:zone_at]
        if whole and text[19:20] == b"." and len(digits) <= 6 and digits.isdigit():
            return self._fine(text, whole, digits)
        return self.rfc3339(text) if RFC3339.fullmatch(text) else b""

    def rfc3339(self, text: bytes) -> bytes:
        """One with at most six digits of a fraction."""
        if len(text) == _MILLISECONDS_OCTETS and text[:19] in self.utc:
            return text
        zone_at = -1 if text.endswith(b"Z") else -6
        whole = self.bsd(text[:19] + text[zone_at:])
        return self._fine(text, whole, text[20:zone_at]) if whole else b""

    def _fine(self, text: bytes, whole: bytes, digits: bytes) -> bytes:
        if self._kind == "rfc3164":
            return whole
        if self._kind == "rfc5424":
            return text  # with the origin's own precision and offset
        fraction = digits.rstrip(b"0")
        return b"%b%bZ" % (whole[:20], fraction.ljust(3 if len(fraction) <= 3 else 6, b"0"))

    def _learn(self, text: bytes) -> bytes:
        written = self._written(text)
        if len(self._known) < _HEADS_MAX:
            self._known[text] = written
            if written and text.endswith(b"Z") and self._kind != "rfc3164":
                self.utc.add(text[:-1])
        return written

    def _written(self, text: bytes) -> bytes:
        stamp = whole_stamp(text)
        if stamp is None:
            return b""
        if self._kind == "rfc3164" and len(text) == _BSD_STAMP_OCTETS:
            return text  # such a message stays as it is, whenever that was
        first = stamp.to_ns(self._received_ns, self._zone)
        last = stamp.to_ns(self._received_ns + _NS - 1, self._zone)
        if first != last:  # the year is the nearest, and half a year later another one
            return b""
        return bsd(first, self._zone) if self._kind == "rfc3164" else rfc3339(first)


def fronts(kind: Kind, second: int, zone: tzinfo) -> Fronts:
    found = _fronts(kind, zone)
    if found.second != second:
        found.begin(second)
    return found


@lru_cache(maxsize=8)  # formats and zones that are in use together
def _fronts(kind: Kind, zone: tzinfo) -> Fronts:
    return Fronts(kind, zone)


def _lead5424(pri: bytes) -> bytes:
    return pri + b"1 "


def _lead3164(pri: bytes) -> bytes:
    return pri


# Of host, program, process id, message id and structured data; of the last four with NILVALUE.
def _names5424(fields: Sequence[bytes]) -> bytes:
    return b" %b " % b" ".join(fields)


def _names3164(fields: Sequence[bytes]) -> bytes:
    host, program, procid, msgid, data = fields
    number = b"" if procid == b"-" else b"[%b]" % procid
    tag = b"%b%b:" % (program, number) if number or program != b"-" else b"-"
    return b" " + b"".join([b"%b " % field for field in (host, tag, msgid, data) if field != b"-"])


def _names_json(fields: Sequence[bytes]) -> bytes:
    *names, data = fields
    values = [b"null" if name == b"-" else b'"%b"' % name for name in names]
    return b'"' + json_line.names(values, json_line.structured(data))


# What stands in front of the stamp, and what between stamp and text.
_RENDERINGS: dict[Kind, tuple[Callable[[bytes], bytes], Callable[[Sequence[bytes]], bytes]]] = {
    "rfc5424": (_lead5424, _names5424),
    "rfc3164": (_lead3164, _names3164),
    "json": (json_line.lead, _names_json),
}
# By host and tag of RFC 3164, and by all that stands between stamp and text of RFC 5424: apart, as
# `h a p m - ` is names of the one and the beginning of a text for the other.
_NAMES: dict[Kind, tuple[dict[bytes, bytes], Names5424]] = {
    kind: ({}, Names5424()) for kind in _RENDERINGS
}
