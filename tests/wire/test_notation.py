"""Notations of stamps: where each begins, ends, and what is none."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.notation import parse_dated, parse_epoch, parse_stamp
from tests.wire.moments import BERLIN, MOMENTS, RECEIVED, ns, read


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
        (b"2001/01/31:01:01:01 GMT", "2001-01-31T01:01:01"),
        (b"2001:01:31-01:01:01", "2001-01-31T01:01:01"),
        (b"Jun  4 2022 11:14:24+08:00", "2022-06-04T03:14:24"),
        (b"Nov 22 07:28:45-0330", "2026-11-22T10:58:45"),
        (b"Nov 22 07:28:45:512 2026", "2026-11-22T07:28:45.512"),
        (b"2018-06-27T12:17:46,25+02:00", "2018-06-27T10:17:46.250"),
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
        (b"2018-06-27T12:17:46." + b"1" * 64 + b"Z asa", 40),
        (b"Jun  4 2022 11:14:24-03:00 DST host", 30),
        (b"Jun  4 2022 11:14:24-03:00 DSThost", 26),
        (b"Jun  4 11:14:24+25:00 host", 15),
        (b"2001/01/31:01:01:01 GMThost", 19),
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


@given(st.binary(max_size=60), MOMENTS)
def test_any_bytes_have_a_stamp_or_none(text: bytes, received: int) -> None:
    for found in (parse_stamp(text), parse_epoch(text), parse_dated(text)):
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


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b"2026-11-23 07:28:45", "2026-11-23T07:28:45"),
        (b"2026-6-4 07:28:45", "2026-06-04T07:28:45"),
        (b"2026-11-23 07:28:45,123", "2026-11-23T07:28:45.123"),
        (b"2026-11-23 07:28:45.5 +01:00", "2026-11-23T06:28:45.500"),
        (b"2026-11-23 07:28:60Z", "2026-11-23T07:28:59"),
    ],
)
def test_a_date_with_a_space(text: bytes, moment: str) -> None:
    found = parse_dated(text)
    assert found is not None
    assert found[0].to_ns(RECEIVED, BERLIN if found[0].offset else UTC) == ns(moment)
    assert found[1] == len(text)


@pytest.mark.parametrize("text", [b"2026-02-29 07:28:45", b"1026-11-23 07:28:45", b"2026-11-23 7"])
def test_what_is_no_date_with_a_space(text: bytes) -> None:
    assert parse_dated(text) is None
