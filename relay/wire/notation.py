"""Notations of stamps: RFC 3339, BSD, and what the field writes between them.

Invariant: what follows a stamp never makes it invalid. A stamp that is found in the first octets of
a message is found in every message that starts with them; `normalise` rests on that.

No pattern looks further than a bounded number of octets (tests/wire/test_bounds.py).
"""

import re
from calendar import isleap
from datetime import date
from functools import lru_cache

from relay.wire.rare import rare
from relay.wire.timestamp import MONTHS, ZONE_HOURS, Stamp, parse_zone

Found = tuple[Stamp, int]  # and the offset of its end

ZONE = rb"(?:%s)" % b"|".join(name.encode() for name in ZONE_HOURS)

_MONTH_NUMBERS = {name: number for number, name in enumerate(MONTHS, start=1)}
_MONTH_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_SECOND = rb"([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)"
_DIGITS = rb"(?:[.:](?P<digits>\d{1,9})\d{0,11})?"  # H3C has a colon there
_OFFSET = rb"[+-](?:[01]\d|2[0-3]):?[0-5]\d"
_YEAR = rb"(?:19|20)\d\d"
_ZONE_TOO = rb"(?:%s|TZ[+-]\d\d?)" % ZONE  # RFC 3164 §5.4, example 4: `TZ-6`
_END = rb"(?=:?(?: |\Z))"  # `2001:db8::1` is a host
_MONTH = b"|".join(MONTHS)

_RFC3339 = re.compile(rb"(\d{4})-(0[1-9]|1[0-2])-(\d\d)T" + _SECOND)
_RFC3339_REST = re.compile(rb"(?:[.,](\d{1,9})\d{0,11})?(Z|%s)?" % _OFFSET)
# The day padded with a space (RFC 3164 §4.1.2) or a zero.
_BSD = re.compile(rb"(%s) (\d\d| \d) %s" % (_MONTH, _SECOND))
# The day not padded; the year in front of the month (NX-OS) or of the time (ASA, Huawei).
_BSD_ODD = rare(rb"(?:(%s) )?(%s) (\d\d| ?\d) (?:(%s) )?%s" % (_YEAR, _MONTH, _YEAR, _SECOND))
# Behind the time. Huawei adds an offset, and a mark for summer time that changes nothing. Without a
# year `UTC` might be a host and `CRON:` a tag, so only a colon makes the one a zone, and only a
# mnemonic behind it the other.
_GLUED = rb"%s(?:(?P<offset>%s)(?: DST(?= ))?)?" % (_DIGITS, _OFFSET)
_BSD_REST = rare(
    rb"(?P<glued>%s)(?: (?:(?P<zone_first>%s)(?: (?P<year_second>%s)%s|(?=:))"
    rb"|(?P<year_first>%s)(?: (?P<zone_second>%s))?%s|(?P<zone>[A-Z]{2,5})(?=: ?%%)))?"
    % (_GLUED, _ZONE_TOO, _YEAR, _END, _YEAR, _ZONE_TOO, _END)
)
_DATED_REST = rare(rb"%s(?: (?P<zone>%s%s|[A-Z]{2,5}(?=: ?%%)))?" % (_GLUED, _ZONE_TOO, _END))
_NOTHING_BEHIND = frozenset(b" %c" % letter for letter in b"abcdefghijklmnopqrstuvwxyz")
# Citrix has month and day in the order of the country, or the year first; Sophos the year, a dash.
_NUMBERS = rare(
    rb"(?:(?P<first>\d\d)/(?P<second>\d\d)/(?P<year>%s):"
    rb"|(?P<year_first>%s)[/:](?P<month>\d\d)[/:](?P<day>\d\d)[:-])"
    rb"(?P<time>%s)%s(?: (?P<zone>%s)%s)?" % (_YEAR, _YEAR, _SECOND, _DIGITS, _ZONE_TOO, _END)
)
_EPOCH = rare(rb"(\d{9,10})\.(\d{1,9})(?= )")
_DATED = rare(
    rb"(%s)-(\d\d?)-(\d\d?) %s(?:[.,](\d{1,9}))?(?: ?(Z|%s))?" % (_YEAR, _SECOND, _OFFSET)
)


def parse_stamp(message: bytes, at: int = 0) -> Found | None:
    """The stamp that starts at this offset, in any notation that needs no context."""
    if message[at : at + 3] in _MONTH_NUMBERS:
        return _parse_bsd(message, at)
    if message.startswith(b"-", at + 4):
        return parse_rfc3339(message, at)
    if message.startswith(b" ", at + 4):
        return _parse_bsd(message, at)
    if message.startswith((b"/", b":"), at + 4) or message.startswith(b"/", at + 5):
        return _parse_numbers(message, at)
    return None


def parse_rfc3339(message: bytes, at: int = 0) -> Found | None:
    """As `parse_stamp`, RFC 3339 only; upper case (RFC 5424 §6.2.3), the offset may be missing."""
    start = _rfc3339_start(message[at : at + 19])
    if not start:
        return None
    rest = _RFC3339_REST.match(message, at + 19)
    assert rest is not None  # it matches nothing at all, too
    (fraction, offset), end = rest.groups(), rest.end()
    named = parse_zone(offset) if offset else (None, None)
    return Stamp(*start, _nanosecond(fraction), message[at:end], *named), end


@lru_cache(maxsize=256)  # the same for all messages of one second
def whole_stamp(text: bytes) -> Stamp | None:
    """The stamp that this text is, as a whole."""
    found = parse_stamp(text)
    return found[0] if found and found[1] == len(text) else None


def is_moment(text: bytes) -> bool:
    """Whether a text in the form of RFC 3339 begins with a date and time that exist."""
    return _rfc3339_start(text[:19]) is not None


def parse_epoch(message: bytes, at: int = 0) -> Found | None:
    """As `parse_stamp`, seconds since 1970 with a fraction, as Meraki writes them."""
    found = _EPOCH().match(message, at)
    if not found:
        return None
    days, second = divmod(int(found[1]), 86400)
    day = date.fromordinal(days + _EPOCH_DAY)
    date_and_second = day.year, day.month, day.day, second
    return Stamp(*date_and_second, _nanosecond(found[2]), found[0], 0), found.end()


def parse_dated(message: bytes, at: int = 0) -> Found | None:
    """As `parse_stamp`, `2026-11-23 07:28:45`, padded or not, with fraction and offset or without.

    Programs begin their texts with it as well, so it takes more than this to make it a header.
    """
    found = _DATED().match(message, at)
    if not found:
        return None
    year, month, day, *time, fraction, offset = found.groups()
    written = int(year), int(month), int(day)
    if not _exists(*written):
        return None
    stamp = Stamp(*written, _second(*time), _nanosecond(fraction), found[0], *_zone(offset))
    return stamp, found.end()


def _parse_bsd(message: bytes, at: int) -> Found | None:
    start = _bsd_start(message[at : at + 15])
    if start:
        if message[at + 15 : at + 17] in _NOTHING_BEHIND:  # a host: as most are written
            return Stamp(None, *start, 0, message[at : at + 15]), at + 15
        return _with_rest(message, at, at + 15, (None, *start))
    found = _BSD_ODD().match(message, at)
    if not found:
        return None
    year_first, month_name, day, year_second, *time = found.groups()
    year = int(year_first or year_second or 0) or None
    date = year, _MONTH_NUMBERS[month_name], int(day)
    return _with_rest(message, at, found.end(), (*date, _second(*time))) if _exists(*date) else None


def _with_rest(message: bytes, at: int, end: int, start: tuple[int | None, int, int, int]) -> Found:
    """The stamp with fraction, offset, year and zone, as far as they follow the time."""
    year, month, day, second = start
    found = (_BSD_REST if year is None else _DATED_REST)().match(message, end)
    assert found is not None  # it matches nothing at all, too
    end, zone_name = found.end(), found["zone"]
    if year is None:
        zone_name = zone_name or found["zone_first"] or found["zone_second"]
        behind = found["year_second"] or found["year_first"]
        if behind and _exists(int(behind), month, day):
            year = int(behind)
        elif behind:  # no year then, and what stands beside it is no zone
            zone_name, end = None, found.end("glued")
    zone = _zone(found["offset"] or zone_name)
    return Stamp(
        year, month, day, second, _nanosecond(found["digits"]), message[at:end], *zone
    ), end


def _parse_numbers(message: bytes, at: int) -> Found | None:
    found = _NUMBERS().match(message, at)
    if not found:
        return None
    if found["year"]:
        year, first, second = int(found["year"]), int(found["first"]), int(found["second"])
        orders = [(first, second), (second, first)]
    else:
        year, orders = int(found["year_first"]), [(int(found["month"]), int(found["day"]))]
    days = [(year, *order) for order in orders if _exists(year, *order)]
    if not days:
        return None
    date_and_second = *days[0], _second(*found["time"].split(b":"))
    stamp = Stamp(*date_and_second, _nanosecond(found["digits"]), found[0], *_zone(found["zone"]))
    return stamp._replace(either_order=len(days) > 1), found.end()


def _zone(text: bytes | None) -> tuple[int | None, str | None]:
    return (None, None) if text is None else parse_zone(text)


def _exists(year: int | None, month: int, day: int) -> bool:
    if not (1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month]) or year == 0:
        return False
    return day != 29 or month != 2 or year is None or isleap(year)


def _second(hour: bytes, minute: bytes, second: bytes) -> int:
    return int(hour) * 3600 + int(minute) * 60 + min(int(second), 59)


def _nanosecond(fraction: bytes | None) -> int:
    return int(fraction.ljust(9, b"0")) if fraction else 0


# Most messages of one second say it in the same octets: these caches halve the time to read it.
@lru_cache(maxsize=256)
def _rfc3339_start(text: bytes) -> tuple[int, int, int, int] | None:
    found = _RFC3339.fullmatch(text)
    if not found:
        return None
    year, month, day, *time = found.groups()
    date = int(year), int(month), int(day)
    return (*date, _second(*time)) if _exists(*date) else None


@lru_cache(maxsize=256)
def _bsd_start(text: bytes) -> tuple[int, int, int] | None:
    found = _BSD.fullmatch(text)
    if not found:
        return None
    month_name, day, *time = found.groups()
    date = _MONTH_NUMBERS[month_name], int(day)
    return (*date, _second(*time)) if _exists(None, *date) else None
