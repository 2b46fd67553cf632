"""Timestamps: what one can mean, and how the relay writes its own. `notation` reads them."""

import re
from calendar import isleap
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
# Hours east of UTC. The American names are those of RFC 5322 §4.3, the European ones mean one thing
# only. A name that the reader's own zone uses at that time is read as that zone has it.
ZONE_HOURS = {
    "UTC": 0, "GMT": 0, "UT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
    "PST": -8, "PDT": -7, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
}  # fmt: skip

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

    def in_zone(self, zone: bytes, text: bytes) -> "Stamp":
        """This time in this zone, with the text that both have together."""
        offset, name = parse_zone(zone)
        return self._replace(text=text, offset=offset, zone_name=name)

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


def rfc3339(ns: int, digits: int = 3) -> bytes:
    """`2026-11-23T07:28:45.123Z`; years outside 1 to 9999 become their nearest."""
    seconds, fraction = divmod(min(max(ns, _NS_MIN), _NS_MAX), _NS)
    return b"%s.%0*dZ" % (_rfc3339_second(seconds), digits, fraction // 10 ** (9 - digits))


def bsd(ns: int, zone: tzinfo) -> bytes:
    """`Nov 23 07:28:45` in this zone, the day padded with a space (RFC 3164 §4.1.2)."""
    return _bsd_second(min(max(ns, _NS_MIN), _NS_MAX) // _NS, zone)


@lru_cache(maxsize=256)
def parse_zone(text: bytes) -> tuple[int | None, str | None]:
    """Seconds east of UTC and the name of `Z`, `+02:00`, `-0930`, `TZ-6` or `EST`.

    A name that nobody knows has no offset: it is the reader's zone.
    """
    if text == b"Z":
        return 0, None
    if text.startswith(b"TZ"):  # RFC 3164 §5.4, example 4
        return int(text[2:]) * 3600, None
    if text.startswith((b"+", b"-")):
        seconds = int(text[1:3]) * 3600 + int(text[-2:]) * 60
        return -seconds if text.startswith(b"-") else seconds, None
    name = text.decode("latin-1")
    hours = ZONE_HOURS.get(name)
    return None if hours is None else hours * 3600, name


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The zone called `local`, `UTC`, `+02:00` or as the IANA calls it (`Europe/Berlin`).

    Raises:
        ValueError: there is no such zone.
    """
    if name == "local":
        return _Local()
    if re.fullmatch(r"[+-]([01]\d|2[0-3]):[0-5]\d", name, re.ASCII):
        seconds, _ = parse_zone(name.encode())
        return timezone(timedelta(seconds=seconds or 0))
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:  # OSError: "Europe", a directory
        known = '"local", "UTC", "+02:00" or a name such as "Europe/Berlin"'
        raise ValueError(f"expected {known}, not {name!r}") from exc


@lru_cache(maxsize=256)
def _nearest(stamp: Stamp, received_ns: int, zone: tzinfo) -> int:
    return min(stamp.readings(received_ns, zone), key=lambda ns: abs(ns - received_ns))


@lru_cache(maxsize=256)
def _rfc3339_second(seconds: int) -> bytes:
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat().encode()


@lru_cache(maxsize=256)
def _bsd_second(seconds: int, zone: tzinfo) -> bytes:
    moment = datetime.fromtimestamp(seconds, zone)
    return b"%s %2d %s" % (MONTHS[moment.month - 1], moment.day, moment.strftime("%T").encode())


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
