"""Entries of the journal as messages; fields as systemd.journal-fields(7) describes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.journal import message, missing
from relay.wire.message import well_formed

USEC = 1_795_000_000_123_456
AT = b"2026-11-18T11:06:40.123456Z"
SYSLOG = {"PRIORITY": b"3", "SYSLOG_FACILITY": b"4", "SYSLOG_IDENTIFIER": b"sshd", "_PID": b"77",
          "_COMM": b"sshd-session", "_HOSTNAME": b"web1", "_TRANSPORT": b"syslog",
          "MESSAGE": b"Failed password"}  # fmt: skip


def but(**changes: bytes | None) -> dict[str, bytes]:
    fields = SYSLOG | {key: value for key, value in changes.items() if value is not None}
    return {key: value for key, value in fields.items() if changes.get(key, b"") is not None}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (SYSLOG, b"<35>1 " + AT + b" web1 sshd 77 - - Failed password"),
        (but(SYSLOG_IDENTIFIER=None),
         b"<35>1 " + AT + b" web1 sshd-session 77 - - Failed password"),
        (but(_PID=None, SYSLOG_PID=b"78"), b"<35>1 " + AT + b" web1 sshd 78 - - Failed password"),
        (but(_HOSTNAME=None), b"<35>1 " + AT + b" edge sshd 77 - - Failed password"),
        (but(_HOSTNAME=b"two words"), b"<35>1 " + AT + b" edge sshd 77 - - Failed password"),
        (but(PRIORITY=b"9"), b"<38>1 " + AT + b" web1 sshd 77 - - Failed password"),
        (but(_SOURCE_REALTIME_TIMESTAMP=b"1795000000000001"),
         b"<35>1 2026-11-18T11:06:40.000001Z web1 sshd 77 - - Failed password"),
        # Facility kern is the kernel's: nobody else may say so.
        (but(SYSLOG_FACILITY=b"0"), b"<11>1 " + AT + b" web1 sshd 77 - - Failed password"),
        ({"_TRANSPORT": b"kernel", "SYSLOG_FACILITY": b"0", "PRIORITY": b"4",
          "SYSLOG_IDENTIFIER": b"kernel", "MESSAGE": b"oops"},
         b"<4>1 " + AT + b" edge kernel - - - oops"),
        ({"_TRANSPORT": b"kernel", "MESSAGE": b"oops"}, b"<6>1 " + AT + b" edge kernel - - - oops"),
        ({}, b"<14>1 " + AT + b" edge - - - -"),
        ({"MESSAGE": b"two\nlines \xff\0"}, b"<14>1 " + AT + b" edge - - - - two\nlines \xff\0"),
    ],
)  # fmt: skip
def test_an_entry(fields: dict[str, bytes], expected: bytes) -> None:
    assert message(fields, USEC, b"edge") == expected


NAMES = st.sampled_from([*SYSLOG, "SYSLOG_PID", "_SOURCE_REALTIME_TIMESTAMP"])


@given(st.dictionaries(NAMES, st.binary(max_size=40)))
def test_any_fields_make_a_well_formed_message(fields: dict[str, bytes]) -> None:
    assert well_formed(message(fields, USEC, b"edge"))


def cursor(number: int, sequence: str = "a" * 32) -> str:
    return f"s={sequence};i={number:x};b={'b' * 32};m=3e8;t=6608b015f3000;x=8a3dc1ee40936655"


@pytest.mark.parametrize(
    ("earlier", "later", "number"),
    [
        (cursor(0x10), cursor(0x11), 0),
        (cursor(0x10), cursor(0x20), 15),
        (cursor(0x20), cursor(0x10), 0),
        (cursor(1), cursor(2, "b" * 32), None),
        ("opaque", cursor(2), None),
        (cursor(2), "", None),
    ],
)
def test_how_many_are_missing_between_two(earlier: str, later: str, number: int | None) -> None:
    assert missing(earlier, later) == number
