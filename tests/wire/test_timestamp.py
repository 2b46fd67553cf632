"""What a stamp can mean: the nearest year, zones; and the stamps we write."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.notation import parse_rfc3339
from relay.wire.timestamp import Stamp, bsd, rfc3339, zone
from tests.wire.moments import BERLIN, DAY_NS, MOMENTS, NS, RECEIVED, ns, read


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
