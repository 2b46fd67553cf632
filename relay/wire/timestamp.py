"""Timestamps: RFC 3339, BSD and the dialects between them, read and written.

Invariant: what follows a stamp never makes it invalid. A stamp that is found in the first octets of
a message is found in every message that starts with them; `normalise` rests on that.
"""

import re
from calendar import isleap
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, start=1)}
_MONTH_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# Hours east of UTC. The American names are those of RFC 5322 §4.3, the European ones mean one thing
# only. A name that the reader's own zone uses at that time is read as that zone has it.
_ZONE_HOURS = {
    "UTC": 0, "GMT": 0, "UT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
    "PST": -8, "PDT": -7, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
}  # fmt: skip

_SECOND = rb"([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)"
_DIGITS = rb"(?:\.(?P<digits>\d{1,9})\d*)?"
_YEAR = rb"(?:19|20)\d\d"
_ZONE = rb"(?:%s|TZ[+-]\d\d?)" % b"|".join(name.encode() for name in _ZONE_HOURS)
_END = rb"(?=:?(?: |\Z))"  # `2001:db8::1` is a host
_RFC3339 = re.compile(rb"(\d{4})-(0[1-9]|1[0-2])-(\d\d)T" + _SECOND)
_RFC3339_REST = re.compile(_DIGITS + rb"(Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?")
# The day padded with a space (RFC 3164 §4.1.2) or a zero.
_BSD = re.compile(rb"(%s) (\d\d| \d) %s" % (b"|".join(_MONTHS), _SECOND))
# The day not padded; the year in front of the month (NX-OS) or of the time (ASA, Huawei).
_BSD_ODD = re.compile(
    rb"(?:(%s) )?(%s) (\d\d| ?\d) (?:(%s) )?%s" % (_YEAR, b"|".join(_MONTHS), _YEAR, _SECOND)
)
# Behind the time. Without a year `UTC` might be a host and `CRON:` a tag, so only a colon makes the
# one a zone, and only a mnemonic behind it the other.
_BSD_REST = re.compile(
    rb"(?P<fraction>%s)(?: (?:(?P<zone_first>%s)(?: (?P<year_second>%s)%s|(?=:))"
    rb"|(?P<year_first>%s)(?: (?P<zone_second>%s))?%s|(?P<zone>[A-Z]{2,5})(?=: ?%%)))?"
    % (_DIGITS, _ZONE, _YEAR, _END, _YEAR, _ZONE, _END)
)
_DATED_REST = re.compile(rb"%s(?: (?P<zone>%s%s|[A-Z]{2,5}(?=: ?%%)))?" % (_DIGITS, _ZONE, _END))
_CITRIX = re.compile(
    rb"(\d\d)/(\d\d)/(%s):%s%s(?: (%s)%s)?" % (_YEAR, _SECOND, _DIGITS, _ZONE, _END)
)
_EPOCH = re.compile(rb"(\d{9,10})\.(\d{1,9})(?= )")

_NS = 1_000_000_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NS_MIN = (date(1, 1, 2).toordinal() - _EPOCH_DAY) * 86400 * _NS  # a day of room for every zone
_NS_MAX = (date(9999, 12, 31).toordinal() - _EPOCH_DAY) * 86400 * _NS - 1


class Stamp(NamedTuple):
    """A time as a header says it: with or without year, zone and certainty about its order.

    A named tuple, since one is made for each view: a quarter of the time a frozen dataclass takes.
    """

    year: int | None
    month: int
    day: int
    second: int  # of the day; a leap second is the one before
    nanosecond: int
    text: bytes  # as it stands in the message
    offset: int | None = None  # seconds east of UTC; None: the zone is the reader's
    zone_name: str | None = None
    either_order: bool = False  # month and day may be the other way round

    def to_ns(self, received_ns: int, zone: tzinfo) -> int:
        """The moment meant: of all that this stamp can mean the one nearest to its receipt."""
        whole = Stamp(*self[:4], 0, b"", *self[6:])  # the same for many messages of a batch
        return _nearest(whole, received_ns, zone) + self.nanosecond

    def readings(self, received_ns: int, zone: tzinfo) -> Iterator[int]:
        """All that this stamp can mean."""
        orders = ((self.month, self.day), (self.day, self.month))[: 1 + self.either_order]
        for year in self._years(received_ns):
            for month, day in orders:
                seconds = (date(year, month, day).toordinal() - _EPOCH_DAY) * 86400 + self.second
                for offset in self._offsets(datetime(year, month, day, tzinfo=zone)):
                    yield (seconds - offset) * _NS + self.nanosecond

    def _years(self, received_ns: int) -> Iterable[int]:
        if self.year is not None:
            return (self.year,)
        now = datetime.fromtimestamp(received_ns // _NS, UTC).year
        if (self.month, self.day) == (2, 29):  # leap years are up to eight apart: 2096, 2104
            return filter(isleap, range(now - 8, now + 9))
        return now, now - 1, now + 1

    def _offsets(self, day: datetime) -> Iterator[int]:
        moment = day + timedelta(seconds=self.second)
        if self.offset is not None and (not self.zone_name or moment.tzname() != self.zone_name):
            yield self.offset
            return
        for fold in (0, 1):  # an hour that the clocks run through twice
            offset = moment.replace(fold=fold).utcoffset()
            yield round(offset.total_seconds()) if offset else 0


def parse_stamp(message: bytes, at: int = 0) -> tuple[Stamp, int] | None:
    """The stamp that starts at this offset, in any dialect, and the offset of its end."""
    if message[at : at + 3] in _MONTH_NUMBERS:
        return _parse_bsd(message, at)
    if message.startswith(b"-", at + 4):
        return parse_rfc3339(message, at)
    if message.startswith(b"/", at + 5):
        return _parse_citrix(message, at)
    return _parse_bsd(message, at) if message.startswith(b" ", at + 4) else None


def parse_rfc3339(message: bytes, at: int = 0) -> tuple[Stamp, int] | None:
    """As `parse_stamp`, RFC 3339 only; upper case (RFC 5424 §6.2.3), the offset may be missing."""
    start = _rfc3339_start(message[at : at + 19])
    if not start:
        return None
    rest = _RFC3339_REST.match(message, at + 19)
    assert rest is not None  # it matches nothing at all, too
    (fraction, offset), end = rest.groups(), rest.end()
    return Stamp(*start, _nanosecond(fraction), message[at:end], _offset(offset)), end


def parse_epoch(message: bytes, at: int = 0) -> tuple[Stamp, int] | None:
    """As `parse_stamp`, seconds since 1970 with a fraction, as Meraki writes them."""
    found = _EPOCH.match(message, at)
    if not found:
        return None
    days, second = divmod(int(found[1]), 86400)
    day = date.fromordinal(days + _EPOCH_DAY)
    date_and_second = day.year, day.month, day.day, second
    return Stamp(*date_and_second, _nanosecond(found[2]), found[0], 0), found.end()


def rfc3339(ns: int, digits: int = 3) -> bytes:
    """`2026-11-23T07:28:45.123Z`; years outside 1 to 9999 become their nearest."""
    seconds, fraction = divmod(min(max(ns, _NS_MIN), _NS_MAX), _NS)
    return b"%s.%0*dZ" % (_rfc3339_second(seconds), digits, fraction // 10 ** (9 - digits))


def bsd(ns: int, zone: tzinfo) -> bytes:
    """`Nov 23 07:28:45` in this zone, the day padded with a space (RFC 3164 §4.1.2)."""
    return _bsd_second(min(max(ns, _NS_MIN), _NS_MAX) // _NS, zone)


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The zone called `local`, `UTC`, `+02:00` or as the IANA calls it (`Europe/Berlin`).

    Raises:
        ValueError: there is no such zone.
    """
    if name == "local":
        return _Local()
    if re.fullmatch(r"[+-]([01]\d|2[0-3]):[0-5]\d", name, re.ASCII):
        return timezone(timedelta(seconds=_offset(name.encode()) or 0))
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:  # OSError: "Europe", a directory
        known = '"local", "UTC", "+02:00" or a name such as "Europe/Berlin"'
        raise ValueError(f"expected {known}, not {name!r}") from exc


def _parse_bsd(message: bytes, at: int) -> tuple[Stamp, int] | None:
    start = _bsd_start(message[at : at + 15])
    if start:
        return _with_rest(message, at, at + 15, (None, *start))
    found = _BSD_ODD.match(message, at)
    if not found:
        return None
    year_first, month_name, day, year_second, *time = found.groups()
    year = int(year_first or year_second or 0) or None
    date = year, _MONTH_NUMBERS[month_name], int(day)
    return _with_rest(message, at, found.end(), (*date, _second(*time))) if _exists(*date) else None


def _with_rest(
    message: bytes, at: int, end: int, start: tuple[int | None, int, int, int]
) -> tuple[Stamp, int]:
    """The stamp with fraction, year and zone, as far as they follow the time."""
    year, month, day, second = start
    found = (_BSD_REST if year is None else _DATED_REST).match(message, end)
    assert found is not None  # it matches nothing at all, too
    end, zone_name = found.end(), found["zone"]
    if year is None:
        zone_name = zone_name or found["zone_first"] or found["zone_second"]
        behind = found["year_second"] or found["year_first"]
        if behind and _exists(int(behind), month, day):
            year = int(behind)
        elif behind:  # no year then, and what stands beside it is no zone
            zone_name, end = None, found.end("fraction")
    nanosecond, named = _nanosecond(found["digits"]), _named_zone(zone_name)
    return Stamp(year, month, day, second, nanosecond, message[at:end], *named), end


def _parse_citrix(message: bytes, at: int) -> tuple[Stamp, int] | None:
    found = _CITRIX.match(message, at)
    if not found:
        return None
    first, second, year, *time, fraction, zone_name = found.groups()
    orders = [(int(first), int(second)), (int(second), int(first))]
    days = [(int(year), *order) for order in orders if _exists(int(year), *order)]
    if not days:
        return None
    start, named = (*days[0], _second(*time), _nanosecond(fraction)), _named_zone(zone_name)
    return Stamp(*start, found[0], *named, either_order=len(days) > 1), found.end()


def _exists(year: int | None, month: int, day: int) -> bool:
    if not (1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month]) or year == 0:
        return False
    return day != 29 or month != 2 or year is None or isleap(year)


def _second(hour: bytes, minute: bytes, second: bytes) -> int:
    return int(hour) * 3600 + int(minute) * 60 + min(int(second), 59)


def _nanosecond(fraction: bytes | None) -> int:
    return int(fraction.ljust(9, b"0")) if fraction else 0


def _named_zone(name: bytes | None) -> tuple[int | None, str | None]:
    if name is None:
        return None, None
    if name.startswith(b"TZ"):  # RFC 3164 §5.4, example 4: `TZ-6`
        return int(name[2:]) * 3600, None
    hours = _ZONE_HOURS.get(name.decode())
    return None if hours is None else hours * 3600, name.decode()


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


@lru_cache(maxsize=256)
def _offset(text: bytes | None) -> int | None:
    if text is None or text == b"Z":
        return None if text is None else 0
    seconds = int(text[1:3]) * 3600 + int(text[-2:]) * 60
    return -seconds if text.startswith(b"-") else seconds


@lru_cache(maxsize=256)
def _nearest(stamp: Stamp, received_ns: int, zone: tzinfo) -> int:
    return min(stamp.readings(received_ns, zone), key=lambda ns: abs(ns - received_ns))


@lru_cache(maxsize=256)
def _rfc3339_second(seconds: int) -> bytes:
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat().encode()


@lru_cache(maxsize=256)
def _bsd_second(seconds: int, zone: tzinfo) -> bytes:
    moment = datetime.fromtimestamp(seconds, zone)
    return b"%s %2d %s" % (_MONTHS[moment.month - 1], moment.day, moment.strftime("%T").encode())


class _Local(tzinfo):
    """The zone of this machine, as the C library has it at the moment of asking."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else self._system(moment).utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else self._system(moment).tzname()

    def fromutc(self, moment: datetime) -> datetime:
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)

    def _system(self, moment: datetime) -> datetime:
        try:
            return moment.replace(tzinfo=None).astimezone()
        except (OverflowError, ValueError, OSError):  # years that the C library does not know
            return moment.replace(tzinfo=UTC)
