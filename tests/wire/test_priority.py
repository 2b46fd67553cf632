"""PRI parts, and facilities and severities by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire import priority as pri
from relay.wire.priority import (
    FACILITIES,
    SEVERITIES,
    facility_name,
    parse_facility,
    parse_severity,
    priorities,
    priority,
    severity_name,
)


@pytest.mark.parametrize("value", range(192))
def test_every_valid_pri_part_is_read(value: int) -> None:
    prefix = b"<%d>" % value
    assert priority(prefix + b"x") == (value, len(prefix))
    assert priority(prefix) == (value, len(prefix))


@pytest.mark.parametrize(
    "message",
    [
        b"", b"<", b"<>", b"<>x", b"<192>x", b"<999>x", b"<00>x", b"<013>x", b"<-1>x", b"< 1>x",
        b"<1 >x", b"<1", b"<1234>x", b"13>x", b"x<13>", b"<+1>x", b"<\xb2>x", b"<1>"[:2],
        b"<<13>", b"<1x>",
    ],
)  # fmt: skip
def test_anything_else_is_none(message: bytes) -> None:
    assert priority(message) == (None, 0)
    assert priorities([message]) == [13]


@given(st.lists(st.binary(max_size=8) | st.from_regex(rb"\A<[0-9]{0,4}>?[^\n]{0,3}")))
def test_priorities_agree_with_priority(messages: list[bytes]) -> None:
    expected = [13 if value is None else value for value, _ in map(priority, messages)]
    assert priorities(messages) == expected


def test_the_cache_of_openings_is_bounded() -> None:
    messages = [b"<1>" + i.to_bytes(2, "big") for i in range(20_000)]
    assert set(priorities(messages)) == {1}
    assert len(pri._BY_OPENING) <= 4096


def test_facilities_have_24_numbers_and_severities_8() -> None:
    assert set(FACILITIES.values()) == set(range(24))
    assert set(SEVERITIES.values()) == set(range(8))


@pytest.mark.parametrize("number", range(24))
def test_facility_names_come_back(number: int) -> None:
    assert parse_facility(facility_name(number)) == number
    assert parse_facility(str(number)) == number


@pytest.mark.parametrize("number", range(8))
def test_severity_names_come_back(number: int) -> None:
    assert parse_severity(severity_name(number)) == number
    assert parse_severity(str(number)) == number


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [
        ("AUTH", 4, "auth"), ("security", 4, "auth"), (" Local7 ", 23, "local7"),
        ("logaudit", 13, "audit"), ("logalert", 14, "alert"), ("cron2", 15, "clock"),
    ],
)  # fmt: skip
def test_facility_aliases(text: str, number: int, name: str) -> None:
    assert parse_facility(text) == number
    assert facility_name(number) == name


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [("Panic", 0, "emerg"), ("ERROR", 3, "err"), ("warn", 4, "warning")],
)
def test_severity_aliases(text: str, number: int, name: str) -> None:
    assert parse_severity(text) == number
    assert severity_name(number) == name


@pytest.mark.parametrize("text", ["", "24", "99", "100", "-1", "1.0", "\u00b2", "kernel", "local8"])
def test_unknown_facilities_are_none(text: str) -> None:
    assert parse_facility(text) is None


@pytest.mark.parametrize("text", ["", "8", "severe", "-1"])
def test_unknown_severities_are_none(text: str) -> None:
    assert parse_severity(text) is None


def test_a_number_without_a_name_is_its_own() -> None:
    assert facility_name(24) == "24"
    assert severity_name(8) == "8"
