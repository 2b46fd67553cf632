"""Stamps: RFC 3339, BSD, dialects; the nearest year; zones."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.notation import parse_epoch, parse_rfc3339, parse_stamp
from relay.wire.timestamp import Stamp, bsd, rfc3339, zone

NS = 10**9
DAY_NS = 86400 * NS
BERLIN = zone("Europe/Berlin")


def ns(text: str) -> int:
    """Of a moment in ISO notation; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1000


RECEIVED = ns("2026-11-23T07:28:45")
MOMENTS = st.integers(ns("1971-01-01"), ns("2500-01-01"))


def read(text: bytes, received: int = RECEIVED, at: tzinfo = UTC) -> int:
    found = parse_stamp(text)
    assert found is not None
    assert found[1] == len(found[0].text)
    return found[0].to_ns(received, at)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b"1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520"),
        (b"1985-04-12T19:20:50.52-04:00", "1985-04-12T23:20:50.520"),
        (b"2003-10-11T22:14:15.003Z", "2003-10-11T22:14:15.003"),
        (b"2003-08-24T05:14:15.000003-07:00", "2003-08-24T12:14:15.000003"),
        (b"2003-08-24T05:14:15.000003000-07:00", "2003-08-24T12:14:15.000003"),
        (b"2018-06-27T12:17:46+0200", "2018-06-27T10:17:46"),
        (b"2018-06-27T12:17:46", "2018-06-27T12:17:46"),
        (b"2016-12-31T23:59:60Z", "2016-12-31T23:59:59"),
        (b"2024-02-29T00:00:00+05:30", "2024-02-28T18:30:00"),
        (b"2020 Nov 23 04:42:22 EDT", "2020-11-23T08:42:22"),
        (b"1990 Oct 22 10:52:01 TZ-6", "1990-10-22T16:52:01"),
        (b"Jan 31 2020 17:24:03", "2020-01-31T17:24:03"),
        (b"Jun  4 2022 11:14:24", "2022-06-04T11:14:24"),
        (b"Jan 31 17:24:03 2020", "2020-01-31T17:24:03"),
        (b"Jan 31 17:24:03 2020 CET", "2020-01-31T16:24:03"),
        (b"Aug 24 05:34:00 CST 1987", "1987-08-24T11:34:00"),
        (b"Feb 28 2010 00:20:10.663 UTC", "2010-02-28T00:20:10.663"),
        (b"Nov 22 07:28:45", "2026-11-22T07:28:45"),
        (b"Nov  2 07:28:45.25", "2026-11-02T07:28:45.250"),
        (b"Nov 02 07:28:45", "2026-11-02T07:28:45"),
        (b"Nov 2 07:28:45", "2026-11-02T07:28:45"),
        (b"Jan 02 00:00:00", "2027-01-02T00:00:00"),
        (b"Nov 22 23:59:60", "2026-11-22T23:59:59"),
        (b"01/31/2001:01:01:01 GMT", "2001-01-31T01:01:01"),
        (b"31/01/2001:01:01:01", "2001-01-31T01:01:01"),
    ],
)
def test_every_notation_is_read_to_its_end(text: bytes, moment: str) -> None:
    assert read(text) == ns(moment)
    found = parse_stamp(text)
    assert found is not None
    assert found[0].text == text


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (b"2018-06-27T12:17:46.12345678901Z asa", 32),
        (b"2018-06-27T12:17:46+99:00 asa", 19),
        (b"2018-06-27T12:17:46. asa", 19),
        (b"Oct 11 22:14:15 MYHOST su: x", 15),
        (b"Oct 11 22:14:15 UTC su: x", 15),  # a host as far as anybody can tell
        (b"Oct 11 22:14:15 CRON: x", 15),
        (b"Oct 11 22:14:15 MSK: %SYS-5-X: x", 19),
        (b"Oct 11 22:14:15 UTC: x", 19),
        (b"Oct 11 22:14:15 10.0.0.99 x", 15),
        (b"Oct 11 22:14:15 2020a x", 15),
        (b"Oct 11 22:14:15 2001:db8::1 x", 15),
        (b"Oct 11 22:14:15 2020: x", 20),
        (b"Oct 11 2020 22:14:15 MSK: %SYS-5-X: x", 24),
        (b"Oct 11 2020 22:14:15 MSK host", 20),
        (b"Feb 29 22:14:15.125 UTC 2019 x", 19),  # there was none
        (b"Oct 11 22:14:159", 15),
        (b"01/10/2001:01:01:01 EGMT x", 19),
    ],
)
def test_a_stamp_ends_where_it_ceases_to_be_one(text: bytes, length: int) -> None:
    found = parse_stamp(text)
    assert found is not None
    assert found[1] == length


@pytest.mark.parametrize(
    "text",
    [
        b"", b"2", b"Oct", b"2018-02-29T12:17:46Z", b"2018-13-01T12:17:46Z",
        b"2018-00-01T12:17:46Z", b"0000-01-01T00:00:00Z", b"2018-06-27t12:17:46Z",
        b"2018-06-27 12:17:46Z", b"2018-06-27T24:17:46Z", b"2018-06-27T12:60:46Z",
        b"2018-06-27T12:17:61Z", b"2018-06-00T12:17:46Z", b"2018-06-27T12:17", b"Feb 30 00:00:00",
        b"Feb 31 00:00:00", b"Apr 31 00:00:00", b"Oct  0 22:14:15", b"Oct 11 25:14:15",
        b"Oct 11 22:60:15", b"Oct 11 22:14:61", b"oct 11 22:14:15", b"Okt 11 22:14:15",
        b"Feb 29 2019 22:14:15", b"2019 Feb 29 22:14:15", b"2019 foo", b"13/13/2001:01:01:01",
        b"01/10/01:01:01:01", b"2020\xb9", b"00:20:10:", b"1w2d: ",
    ],
)  # fmt: skip
def test_what_is_no_date_is_no_stamp(text: bytes) -> None:
    assert parse_stamp(text) is None


def test_seconds_since_1970() -> None:
    found = parse_epoch(b"x 1563249630.774247467 device", 2)
    assert found is not None
    assert found[0].to_ns(RECEIVED, BERLIN) == 1563249630774247467
    assert found[1] == 22
    assert parse_epoch(b"1563249630 device") is None


@pytest.mark.parametrize(
    ("text", "received", "moment"),
    [
        (b"Dec 31 23:59:58", "2027-01-01T00:00:01", "2026-12-31T23:59:58"),
        (b"Jan  1 00:00:01", "2026-12-31T23:59:58", "2027-01-01T00:00:01"),
        (b"Feb 29 12:00:00", "2024-03-01T00:00:00", "2024-02-29T12:00:00"),
        (b"Feb 29 12:00:00", "2026-02-01T00:00:00", "2024-02-29T12:00:00"),
        (b"Feb 29 12:00:00", "2026-11-01T00:00:00", "2028-02-29T12:00:00"),
        (b"Feb 29 12:00:00", "2099-01-01T00:00:00", "2096-02-29T12:00:00"),
        (b"Feb 29 12:00:00", "2101-01-01T00:00:00", "2104-02-29T12:00:00"),
    ],
)
def test_the_year_is_the_nearest(text: bytes, received: str, moment: str) -> None:
    assert read(text, ns(received)) == ns(moment)


@pytest.mark.parametrize(
    ("received", "moment"),
    [("2001-01-12", "2001-01-10T01:01:01"), ("2001-09-30", "2001-10-01T01:01:01")],
)
def test_the_order_of_month_and_day_is_the_nearest(received: str, moment: str) -> None:
    assert read(b"01/10/2001:01:01:01", ns(received)) == ns(moment)


@pytest.mark.parametrize("offset", ["+02:00", "+01:00"])
def test_of_an_hour_that_comes_twice_the_nearest_is_meant(offset: str) -> None:
    moment = ns(f"2026-10-25T02:30:00{offset}")
    assert read(b"Oct 25 02:30:00", moment + 5 * NS, BERLIN) == moment


def test_a_zone_name_means_what_the_reader_means_by_it() -> None:
    text = b"Nov 23 15:28:45 CST: %SYS-5-X"
    assert read(text, RECEIVED, zone("Asia/Shanghai")) == RECEIVED
    assert read(text, RECEIVED, UTC) == RECEIVED + 14 * 3600 * NS
    assert read(b"Nov 23 10:28:45 MSK: %SYS-5-X", RECEIVED, zone("+03:00")) == RECEIVED


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), MOMENTS, st.integers(-14, 14))
def test_no_stamp_is_further_than_half_a_year(written: datetime, received: int, hours: int) -> None:
    if (written.month, written.day) == (2, 29):
        return
    text = written.strftime("%b %d %H:%M:%S").encode()
    moment = read(text, received, timezone(timedelta(hours=hours)))
    assert abs(moment - received) <= 183 * DAY_NS + DAY_NS // 2


@given(MOMENTS, st.sampled_from([3, 6, 9]))
def test_rfc3339_comes_back(moment: int, digits: int) -> None:
    text = rfc3339(moment, digits)
    step = 10 ** (9 - digits)
    assert read(text) == moment // step * step
    found = parse_rfc3339(text)
    assert found is not None
    assert found[1] == len(text)


@given(
    MOMENTS,
    st.integers(-600, 600),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "-09:30", "local"]),
)
def test_bsd_comes_back(moment: int, late_seconds: int, name: str) -> None:
    text = bsd(moment, zone(name))
    assert len(text) == 15
    assert read(text, moment + late_seconds * NS, zone(name)) == moment // NS * NS


@given(st.binary(max_size=60), MOMENTS)
def test_any_bytes_have_a_stamp_or_none(text: bytes, received: int) -> None:
    for found in (parse_stamp(text), parse_epoch(text)):
        assert found is None or isinstance(found[0].to_ns(received, BERLIN), int)


@given(
    st.sampled_from(
        [b"2026-11-23T07:28:45", b"Nov 23 07:28:45", b"Feb 29 07:28:45", b"Feb 29 2024 07:28:45",
         b"2020 Nov 23 04:42:22", b"01/10/2001:01:01:01"]
    ),
    st.binary(max_size=12)
    | st.from_regex(rb"\A(\.\d{0,12})?([ZEDTUC:+% -]{0,6}|(20)?\d{0,5}){0,3}"),
)  # fmt: skip
def test_nothing_behind_a_stamp_makes_it_invalid(stamp: bytes, behind: bytes) -> None:
    found = parse_stamp(stamp + behind)
    assert found is not None
    assert found[1] >= len(stamp)


@pytest.mark.parametrize("moment", [-(2**80), 2**80])
@pytest.mark.parametrize("name", ["UTC", "local", "+14:00", "-14:00", "America/New_York"])
def test_times_out_of_range_become_the_nearest(moment: int, name: str) -> None:
    assert len(rfc3339(moment)) == 24
    assert len(bsd(moment, zone(name))) == 15


@pytest.mark.parametrize("name", ["UTC", "local", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("year", [1, 9999])
def test_the_first_and_the_last_year_have_zones_too(year: int, name: str) -> None:
    stamp = Stamp(year, 1 if year == 1 else 12, 1, 0, 0, b"")
    assert abs(stamp.to_ns(RECEIVED, zone(name))) > ns("2400-01-01")


def test_formats() -> None:
    moment = ns("2026-11-03T07:28:45.123987")
    assert rfc3339(moment) == b"2026-11-03T07:28:45.123Z"
    assert bsd(moment, UTC) == b"Nov  3 07:28:45"
    assert bsd(moment, BERLIN) == b"Nov  3 08:28:45"


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("+02:00", 2), ("-00:30", -0.5), ("Europe/Berlin", 1)]
)
def test_zones(name: str, hours: float) -> None:
    moment = datetime(2026, 11, 23, tzinfo=zone(name))
    assert moment.utcoffset() == timedelta(hours=hours)
    assert zone(name) is zone(name)


def test_the_local_zone_is_that_of_the_c_library() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=zone("local"))
    system = datetime(2026, 7, 1, 12).astimezone()
    assert moment == system
    assert moment.tzname() == system.tzname()
    assert zone("local").utcoffset(None) is None
    assert zone("local").tzname(None) is None


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", "+25:00", "+0200"])
def test_unknown_zones_are_said(name: str) -> None:
    with pytest.raises(ValueError, match="Europe/Berlin"):
        zone(name)
