"""Dialects: where the field puts stamp, host and program, if not where RFC 3164 has them.

A header is read in three steps: `place` finds the stamp, `read_host` what follows it, `read_tag`
the program. Each takes the plain form first and knows by a signature of their own those who write
another. What a dialect writes that no field can hold is its front, and stays in the text.

No pattern looks further than a bounded number of octets (tests/wire/test_bounds.py).
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from relay.wire.notation import ZONE, parse_dated, parse_epoch, parse_rfc3339, parse_stamp
from relay.wire.rare import rare
from relay.wire.timestamp import Stamp

Dialect = Literal[
    "rfc5424", "rfc3164", "cisco", "citrix", "cri", "dated", "f5", "fields", "junos", "meraki",
    "procurve", "unifi", "none",
]  # fmt: skip

# RFC 3164 §4.1.3 has letters and digits only in a tag; the field has paths, units, parentheses and
# (UniFi) a comma and a plus. Quotes, braces and `=` are JSON and key=value bodies, a percent sign
# is a Cisco mnemonic, and digits alone are a Cisco counter: all of these are text.
_PROCID = rb"[^\x00-\x20\x7f\[\]]{1,128}"
_PROCID_END = rb"\](?:: ?| |\Z)"
_TAG = rb"(?![*.]?%%|\d{1,10}:)([^\x00-\x20\x7f:\[\]\"'{}<>=]{1,128})(?:\[(%s)%s|:(?: |\Z))" % (
    _PROCID,
    _PROCID_END,
)
_HOST = rb"(?!%)[A-Za-z0-9_.:@/%-]{1,255}"  # fe80::1%eth0, but no mnemonic
# One colon at its end makes a word a tag (glibc's syslog(3) writes no host) or a counter; but what
# stands in front of a mnemonic is a host: ASA writes `asa : %ASA-3-710003`.
_HOST_END = rb"(?<![^:]:)(?: |\Z)"

_tag = re.compile(_TAG)
_host = re.compile(rb"(%s)(?:( ?: )(?=%%)|%s)" % (_HOST, _HOST_END))
_host_after_space = rare(rb" (%s)%s(?=%s)" % (_HOST, _HOST_END, _TAG))  # Junos: one too many
_stamp_end = re.compile(rb" ?:(?: |\Z)")  # Cisco ends a stamp with a colon when no host follows
# A zone is told from a host of that name by the host and tag behind it.
_zone = rare(rb" (%s)(?= %s %s)" % (ZONE, _HOST, _TAG))
_cisco_zone = rare(rb" ([A-Z]{2,5})(?= ?: )")

# Cisco IOS and NX-OS in front of the stamp: counters, an origin-id or an empty host, each with a
# colon; IOS XR a host and the node, glued to the stamp; then `*` or `.` for a clock that is not
# synchronised.
_COUNTERS = rb"(?:\d{1,10}: {1,2}){0,3}"
_NODE = rb"\w{1,8}(?:/\w{1,8}){2,4}:"
_ORIGIN = rb"([\w.-]{1,255})(?:: {1,2}| (?=%s))" % _NODE
_cisco = re.compile(
    rb"((?:: ?)?)(%s)(?:%s)?((?:%s)?%s[*.]?)" % (_COUNTERS, _ORIGIN, _NODE, _COUNTERS)
)
# The same, when the clock was never set: time since the start, or no stamp at all.
_UPTIME = rb"(?:\d{1,3}:\d\d:\d\d(?:\.\d{1,3})?: |(?:\d{1,4}[ywdh]){1,2}: )?"
_NO_HOST = rb"(?!\d{1,10} ?:|(?:\d{1,4}[ywdh]){1,2}:)"
_cisco_without_stamp = rare(
    rb"(?:: ?)?(?:\d{1,10}: {1,2}){0,3}+%s([\w.-]{1,255}) ?: {1,2}%s[*.]?%s%%[A-Z]"
    % (_NO_HOST, _COUNTERS, _UPTIME)
)

# Between host and tag: F5 a level, UniFi an address of hardware and a model, ProCurve an event's
# number.
_UNIFI = rb"[0-9a-f]{12},[\w.+-]{1,64}: "
_unifi_without_stamp = rare(rb"([\w.-]{1,255}) %s" % _UNIFI)
_marks = rare(
    rb"(?:(?P<f5>(?:emerg|alert|crit|err|warning|notice|info|debug) )(?=[^ :\[]{1,128}\[%s%s)"
    rb'|(?P<unifi>%s|\("[\w-]{1,32},[0-9a-f]{12},v[\d.]{1,32}"\):? )'
    rb"|(?P<procurve>\d{5} )(?=[\w.-]{1,32}: ))" % (_PROCID, _PROCID_END, _UNIFI)
)  # fmt: skip

_container_streams = (b"stdout F ", b"stdout P ", b"stderr F ", b"stderr P ")
# What makes a date with a space in it a header: behind it the sender's address (Aruba ClearPass),
# or a host and a mnemonic of Huawei's.
_behind_dated = rare(
    rb" (?=(?:\d{1,3}\.){3}\d{1,3} |[\da-f]{1,4}:[\da-f:.]{1,40}(?<![^:]:) |%s %%%%\d\d)" % _HOST
)

# The first of a message that is `name=value name="value"`: of Fortinet, Sophos and SonicWall those
# that say time, zone and name.
_FIELD = rb'([A-Za-z_]{1,32})=(?:"([^"\x00-\x1f]{0,255})"|([^\s",]{0,255}))(?:, ?| {1,2}|\Z)'
_field = rare(_FIELD)
_first_fields = rare(rb"(?:%s){2,12}" % _FIELD)
_a_zone = rare(rb"[+-](?:[01]\d|2[0-3]):?[0-5]\d|[A-SU-Z][A-Z]{1,4}")
_DEVICE = {b"devname", b"devid", b"device", b"device_name", b"device_id", b"fw", b"sn"}
_HEAD_MAX = 320  # a host, three counters and what else can stand in front of a mnemonic


class Place(NamedTuple):
    """Where a stamp stands in a header that is not RFC 5424."""

    dialect: Dialect
    stamp: Stamp
    start: int  # of the stamp; where it is also the end, the stamp is among the fields of the text
    end: int
    host: bytes | None = None  # in front of the stamp, or among the fields
    front: bytes = b""


def place(message: bytes, at: int) -> Place | None:
    """The stamp of the header that starts here, behind the PRI part."""
    if message.startswith(b"1 ", at):
        return _versioned(message, at + 2)
    start = at + message.startswith(b" ", at)  # Citrix and ProCurve put a space there
    found = None if message[start : start + 1].islower() else parse_stamp(message, start)
    if not found:
        return _cisco_place(message, at) or _dated(message, at) or _fields(message, at)
    stamp, end = found
    if stamp.offset is None and message[end + 1 : end + 2].isupper():
        zone = _zone().match(message, end)
        if zone and stamp.zone_name is None:
            stamp, end = stamp.in_zone(zone[1], message[start : zone.end()]), zone.end()
    return Place("citrix" if b"/" in stamp.text else "rfc3164", stamp, start, end)


def read_host(message: bytes, found: Place) -> tuple[Dialect, bytes | None, int]:
    """The host behind a stamp, or the one found before; and where tag and text begin."""
    dialect, _, start, end, host, _ = found
    if start == end:
        return dialect, host, end
    colon = message.startswith((b":", b" :"), end) and _stamp_end.match(message, end)
    if colon:
        return "cisco", host, colon.end()
    if message.startswith(b" ", end):
        return _host_at(message, end + 1, dialect)
    return dialect, host, end


def read_tag(
    message: bytes, at: int
) -> tuple[Dialect | None, bytes | None, bytes | None, bytes, int]:
    """Program and process id of the tag that starts here, what stands in front of it, its end.

    And the dialect, where what stands in front tells it.
    """
    (program, procid), end = (None, None), at
    if tag := _tag.match(message, at):
        (program, procid), end = tag.groups(), tag.end()
    plain = program is not None and b"," not in program
    mark = None if plain else _marks().match(message, at)
    if not mark:
        return None, program, procid, b"", end
    dialect: Dialect = mark.lastgroup  # type: ignore[assignment]  # the groups are named for them
    tag = _tag.match(message, mark.end())
    if not tag:
        return dialect, None, None, b"", at
    return dialect, tag[1], tag[2], mark[0], tag.end()


def named_host(message: bytes, at: int) -> bytes | None:
    """The host that a header without a stamp names."""
    head = message[at : at + _HEAD_MAX]
    found = None
    if b"%" in head:
        found = _cisco_without_stamp().match(head)
    elif b"," in head:
        found = _unifi_without_stamp().match(head)
    return found[1] if found else None


def _host_at(message: bytes, at: int, dialect: Dialect) -> tuple[Dialect, bytes | None, int]:
    if found := _host.match(message, at):
        if found[2]:
            return "cisco", found[1], found.end()
        if message.startswith(_container_streams, at):
            return "cri", None, at
    elif message.startswith(b" ", at):
        found = _host_after_space().match(message, at)
    return (dialect, found[1], found.end()) if found else (dialect, None, at)


def _versioned(message: bytes, start: int) -> Place | None:
    """RFC 5424's version, and behind it no header of RFC 5424."""
    if found := parse_rfc3339(message, start):
        return Place("junos", found[0], start, found[1])
    if found := parse_epoch(message, start):
        return Place("meraki", found[0], start, found[1])
    return None


def _cisco_place(message: bytes, at: int) -> Place | None:
    front = _cisco.match(message, at)
    assert front is not None  # it matches nothing at all, too
    start = front.end()
    found = parse_stamp(message, start) if front[0] else None
    if not found:
        return None
    stamp, end = found
    if not _stamp_end.match(message, end):
        zone = _cisco_zone().match(message, end)
        if not zone:
            return None  # anybody's text may start with a word and a colon
        stamp, end = stamp.in_zone(zone[1], message[start : zone.end()]), zone.end()
    return Place("cisco", stamp, start, end, front[3], front[2] + front[4])


def _dated(message: bytes, at: int) -> Place | None:
    if not message.startswith(b"-", at + 4):
        return None
    found = parse_dated(message, at)
    if not found or not _behind_dated().match(message, found[1]):
        return None
    return Place("dated", found[0], at, found[1])


def _fields(message: bytes, at: int) -> Place | None:
    """`date=2026-11-23 time=07:28:45 tz="-0500" devname="fw1"`, and how others call the same.

    Fortinet, Sophos and SonicWall write no header; all of it stays in the text. Programs write
    `time=` as well: without a field that names the device it is no header.
    """
    first = _first_fields().match(message, at)
    if not first:
        return None
    pairs = _field().findall(message, at, first.end())
    fields = {name: quoted or plain for name, quoted, plain in reversed(pairs)}
    if _DEVICE.isdisjoint(fields):
        return None
    host = fields.get(b"devname") or fields.get(b"device_name") or fields.get(b"fw")
    date, time = fields.get(b"date"), fields.get(b"time") or fields.get(b"timestamp", b"")
    stamp = _stamp_of(
        date + b" " + time if date else time, fields.get(b"tz") or fields.get(b"timezone", b"")
    )
    # A space in front, as in a header: a colon alone is no host there either.
    named = host if host and _host.fullmatch(b" " + host, 1) else None
    return Place("fields", stamp, at, at, named) if stamp else None


@lru_cache(maxsize=256)  # the same for all messages of one second
def _stamp_of(text: bytes, zone: bytes) -> Stamp | None:
    found = parse_dated(text) or parse_rfc3339(text)
    if not found:
        return None
    stamp, end = found
    zone = zone or text[end:].strip()
    known = stamp.offset is not None or not _a_zone().fullmatch(zone)
    return stamp if known else stamp.in_zone(zone, stamp.text)
