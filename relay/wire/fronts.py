"""What plain headers become: the short way to another format, which nearly all messages take.

`formats` has the exact conversions, for all headers. What is found here is the same octet for octet
(tests/wire/test_fronts.py).

Headers repeat, and what becomes of them is remembered. Of RFC 3164 the whole of it, as the messages
that a process writes in one second have the same; then its halves, as those of a second have the
same opening (PRI and stamp) and those of a process the same names (host, program, process id). Of
RFC 5424, where hardly a stamp comes twice, the names: where the header mostly ends is looked for
before it is read.

From RFC 3164 to RFC 5424, batches of 1,024 messages of 256 octets, a message takes 0.2 µs where the
whole is known, 0.75 where the halves are and 2.1 where nothing is; the exact way takes 8.
"""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Literal, TypeVar

from relay.wire import json_line
from relay.wire.notation import whole_stamp
from relay.wire.plain import PLAIN3164, PLAIN5424, RFC3339
from relay.wire.timestamp import bsd, rfc3339

Kind = Literal["rfc5424", "rfc3164", "json"]
Found = tuple[bytes, bytes]
T = TypeVar("T")

_NS = 10**9
_BOM = b"\xef\xbb\xbf"
_BSD_STAMP_OCTETS = len(b"Mmm dd hh:mm:ss")
_BSD_OCTETS = len(b"> ") + _BSD_STAMP_OCTETS
_MILLISECONDS_OCTETS = len(b"2026-11-23T07:28:45.123Z")
_NAMES_OCTETS_MAX = 160  # longer ones are not remembered
_HEADS_MAX = 2048  # and as many openings and stamps: 3 MB at most, of one format and zone
_NAMES_MAX = 4096  # from each header to each format: 4 MB at most, if all octets are escaped
_CUT_OCTETS_MAX = 512  # of longer ones without a tag the search and the hash would cost too much
_UNCUT = (b"", b"", b"")
_NO_DATA, _END_OF_DATA = b" - ", b"] "  # what ends a header of RFC 5424, mostly
_UNKNOWN = (None, b"")


def is_versioned(message: bytes) -> bool:
    """Whether a PRI part and the version of RFC 5424 stand in front."""
    return message.find(b">1 ", 2, 7) > 0


class Fronts:
    """What stands in front of the text in one format, of messages received in one second.

    Invariant: at most `_HEADS_MAX` heads and openings, and `_NAMES_MAX` names, are remembered.
    """

    def __init__(self, kind: Kind, zone: tzinfo) -> None:
        self.by_head: dict[bytes, bytes] = {}
        """By what stands before the first `: `; empty where the message stays as it is."""
        self._kind = kind
        self._zone = zone
        self._lead, self._render = _RENDERINGS[kind]
        self._leads = _LEADS[kind]
        self._openings: dict[bytes, bytes] = {}
        self._names3164, self._names5424, self._by_cut = _NAMES[kind]
        self._cut = _NO_DATA
        self.begin(0)

    def begin(self, second: int) -> None:
        """Of messages received in this second from now on."""
        self.second = second
        self._stamps = _Stamps(self._kind, second, self._zone)
        self._openings.clear()
        self.by_head.clear()

    def find(self, messages: Sequence[bytes]) -> tuple[Sequence[bytes | None], Sequence[bytes]]:
        """Front and text of each message; the front is empty where the message stays as it is.

        None: its header is not plain, or it has no text.
        """
        find = self._find5424 if messages and is_versioned(messages[0]) else self._find3164
        fronts: list[bytes | None] = []
        texts: list[bytes] = []
        find(messages, fronts, texts)
        return fronts, texts

    def _find3164(
        self, messages: Sequence[bytes], fronts: list[bytes | None], texts: list[bytes]
    ) -> None:
        by_head, opening_of, names_of = self.by_head, self._openings.get, self._names3164.get
        stays = self._kind == "rfc3164"
        front: bytes | None
        for message in messages:
            head, _, text = message.partition(b": ") if len(message) <= _CUT_OCTETS_MAX else _UNCUT
            front = by_head.get(head)
            if front is None:
                middle = head.find(b">") + _BSD_OCTETS
                opening, names = opening_of(head[:middle]), names_of(head[middle:])
                if opening is not None and names is not None:
                    front = b"" if stays else opening + names
                    if len(by_head) < _HEADS_MAX:
                        by_head[head] = front
            if front is None or not text:
                front, text = self._look(message)
            fronts.append(front)
            texts.append(text)

    def _find5424(
        self, messages: Sequence[bytes], fronts: list[bytes | None], texts: list[bytes]
    ) -> None:
        """Three fields, of which the last is all names, if the header is cut at its data's end."""
        lead_of, by_cut, stamps = self._leads.get, self._by_cut, self._stamps
        seconds, milliseconds = stamps.seconds, stamps.milliseconds
        stays = self._kind == "rfc5424"
        front: bytes | None
        for message in messages:
            head, _, text = message.partition(self._cut)
            fields = head.split(b" ", 2)
            front = None
            if len(fields) == 3:
                pri, stamp, key = fields
                lead, (names, rest) = lead_of(pri), by_cut[self._cut].get(key, _UNKNOWN)
                if lead is not None and names is not None and text.startswith(rest):
                    if stamp[19:] in milliseconds and stamp[:19] in seconds:
                        front = b"" if stays else lead + stamp + names
                    elif written := stamps.any(stamp):
                        front = b"" if stays else lead + written + names
                    text = text[len(rest) :]
                    if text >= _BOM:  # saves a call where it cannot be one
                        text = text.removeprefix(_BOM)
            if front is None or not text:
                front, text = self._look(message)
            fronts.append(front)
            texts.append(text)

    def _look(self, message: bytes) -> tuple[bytes | None, bytes]:
        found = self._look5424(message) if is_versioned(message) else self._look3164(message)
        return found or (None, b"")

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
            fields = (host, program, procid, b"-", b"-")
            names = _learn(self._names3164, key, self._render(fields))
        return b"" if is_bsd and self._kind == "rfc3164" else opening + names, message[end:]

    def _look5424(self, message: bytes) -> Found | None:
        found = PLAIN5424.match(message)
        if found is None:
            return None
        stamp, end = self._stamps.rfc3339(found[2]), found.end()
        text = message[end:].removeprefix(_BOM)
        if not stamp or not text:
            return None
        pri, start = found[1], found.start(3)
        lead = self._leads[pri + b"1"] = self._lead(pri)
        key = message[start:end]
        names = self._names5424.get(key)
        if names is None:
            names = _learn(self._names5424, key, self._render(found.groups()[2:]))
        self._cut = _NO_DATA if found[7] == b"-" else _END_OF_DATA  # as the next one's, perhaps
        at = message.find(self._cut)
        behind = at + len(self._cut)
        if start <= at and behind <= end:
            _learn(self._by_cut[self._cut], message[start:at], (names, message[behind:end]))
        return b"" if self._kind == "rfc5424" else lead + stamp + names, text


def _learn(known: dict[bytes, T], key: bytes, names: T) -> T:
    if len(key) <= _NAMES_OCTETS_MAX:
        if len(known) >= _NAMES_MAX:
            known.clear()
        known[key] = names
    return names


class _Stamps:
    """Stamps as a format has them; empty for those that are none, or not the same all the second.

    Invariants: at most `_HEADS_MAX` are remembered; one of `seconds` with one of `milliseconds`
    behind it stays as it is.
    """

    def __init__(self, kind: Kind, second: int, zone: tzinfo) -> None:
        self._kind = kind
        self._received_ns = second * _NS
        self._zone = zone
        self._known: dict[bytes, bytes] = {}  # whole seconds
        self.seconds: set[bytes] = set()  # of UTC, without the zone
        self.milliseconds: set[bytes] = set()  # with the zone, which is UTC

    def bsd(self, text: bytes) -> bytes:
        written = self._known.get(text)
        return self._learn(text) if written is None else written

    def any(self, text: bytes) -> bytes:
        """One of RFC 3339, if it is one as `plain` has it."""
        return self.rfc3339(text) if RFC3339.fullmatch(text) else b""

    def rfc3339(self, text: bytes) -> bytes:
        """One as `plain` has it, with at most six digits of a fraction."""
        zone_at = -1 if text.endswith(b"Z") else -6
        whole = self.bsd(text[:19] + text[zone_at:])
        if not whole or self._kind == "rfc3164":
            return whole
        if len(text) == _MILLISECONDS_OCTETS and zone_at == -1:
            self.milliseconds.add(text[19:])
            return text
        if self._kind == "rfc5424":
            return text  # with the origin's own precision and offset
        fraction = text[20:zone_at].rstrip(b"0")
        return b"%b%bZ" % (whole[:20], fraction.ljust(3 if len(fraction) <= 3 else 6, b"0"))

    def _learn(self, text: bytes) -> bytes:
        written = self._written(text)
        if len(self._known) < _HEADS_MAX:
            self._known[text] = written
            if written and text.endswith(b"Z") and self._kind != "rfc3164":
                self.seconds.add(text[:-1])
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
    return b'"%b"' % json_line.names(values, json_line.structured(data))


# What is in front of the stamp, and what is between stamp and text.
_RENDERINGS: dict[Kind, tuple[Callable[[bytes], bytes], Callable[[Sequence[bytes]], bytes]]] = {
    "rfc5424": (_lead5424, _names5424),
    "rfc3164": (_lead3164, _names3164),
    "json": (json_line.lead, _names_json),
}
# By host and tag of RFC 3164; and by all that stands between stamp and text of RFC 5424: apart, as
# `h a p m - ` is names of the one and the beginning of a text for the other. And, for each of the
# two ends that a header may have, by what stands between its stamp and the first of these, with
# what of the header follows: `h a p m` with nothing, `h a p` with `- `.
_Cuts = dict[bytes, dict[bytes, tuple[bytes, bytes]]]
_NAMES: dict[Kind, tuple[dict[bytes, bytes], dict[bytes, bytes], _Cuts]] = {
    kind: ({}, {}, {_NO_DATA: {}, _END_OF_DATA: {}}) for kind in _RENDERINGS
}
_LEADS: dict[Kind, dict[bytes, bytes]] = {kind: {} for kind in _RENDERINGS}  # by PRI and version
