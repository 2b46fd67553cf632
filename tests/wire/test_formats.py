"""Formats out: conversions keep host, moment and text."""

import json
from datetime import tzinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.wire.formats import Form, Format, convert
from relay.wire.message import view, well_formed
from relay.wire.timestamp import zone
from tests.wire.moments import ns

RECEIVED = 1795418925_123_456_789  # 2026-11-23T07:28:45
UTC = zone("UTC")
BERLIN = zone("Europe/Berlin")
SENDER = "192.0.2.7"
US = "edge01"


def one(message: bytes, to: Format, *, at: tzinfo = BERLIN, sender: str = SENDER) -> bytes:
    (result,) = convert([message], [sender], Form(to, US), received_ns=RECEIVED, zone=at)
    return result


def test_preserve_gives_back_the_same_object() -> None:
    batch = [b"a", b"b"]
    assert convert(batch, ["x", "y"], Form("preserve", US), received_ns=RECEIVED, zone=UTC) is batch


def test_each_message_goes_with_its_own_sender() -> None:
    result = convert(
        [b"<13>Nov 23 08:28:45 su: a", b"b"], ["192.0.2.1", ""], Form("rfc3164", US),
        received_ns=RECEIVED, zone=BERLIN,
    )  # fmt: skip
    assert result == [b"<13>Nov 23 08:28:45 192.0.2.1 su: a", b"<13>Nov 23 08:28:45 - b"]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("rfc5424", b"<13>1 2026-11-23T07:28:45.000Z edge01 su 7 - - a"),
        ("rfc3164", b"<13>Nov 23 08:28:45 edge01 su[7]: a"),
    ],
)
def test_programs_of_this_machine_have_our_name(to: Format, expected: bytes) -> None:
    """The C library's syslog(3) writes a stamp and no host."""
    message = b"<13>Nov 23 08:28:45 su[7]: a"
    assert one(message, to, sender="local") == expected
    read = json.loads(one(message, "json", sender="local"))
    assert (read["host"], read["sender"]) == (US, "local")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b"<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed",
            b"<34>1 2026-10-11T20:14:15.000Z mymachine su 7 - - 'su root' failed",
        ),
        (
            b"<34>Dec 31 23:59:59.25 mymachine su: x",
            b"<34>1 2026-12-31T22:59:59.250Z mymachine su - - - x",
        ),
        (
            b"<165>2020-11-23T19:01:51.3160000001+02:00 esxi Vpxa: x",
            b"<165>1 2020-11-23T19:01:51.316000+02:00 esxi Vpxa - - - x",
        ),
        (
            b"<165>2020-11-23T19:01:51+0200 h a: x",
            b"<165>1 2020-11-23T17:01:51.000Z h a - - - x",
        ),
        (
            b"<165>1 2007-02-15T09:17:15.719Z mib2d[1484]: SNMP_TRAP: x",
            b"<165>1 2007-02-15T09:17:15.719Z 192.0.2.7 mib2d 1484 - - SNMP_TRAP: x",
        ),
        (
            b"<134>1 1563249630.774247467 mx84 security_event x",
            b"<134>1 2019-07-16T04:00:30.774247Z mx84 - - - - security_event x",
        ),
        (
            b"<190>1: sw1: *Nov 23 08:28:45.306: %SEC-6-X: x",
            b"<190>1 2026-11-23T07:28:45.306Z sw1 - - - - 1: *%SEC-6-X: x",
        ),
        (b"no header", b"<13>1 2026-11-23T07:28:45.123Z 192.0.2.7 - - - - no header"),
        (b"", b"<13>1 2026-11-23T07:28:45.123Z 192.0.2.7 - - - -"),
        # fields that RFC 5424 does not allow stand in front of the text
        (
            b"<34>1 - h " + b"a" * 49 + b" 7 m - t",
            b"<34>1 2026-11-23T07:28:45.123Z h - - m - " + b"a" * 49 + b"[7]: t",
        ),
        (
            b"<34>1 - h - " + b"7" * 129 + b" m - t",
            b"<34>1 2026-11-23T07:28:45.123Z h - - m - -[" + b"7" * 129 + b"]: t",
        ),
        (
            b"<34>1 - h\xc3\xa4 a 7 " + b"m" * 33 + b" [" + b"x" * 33 + b"] t",
            b"<34>1 2026-11-23T07:28:45.123Z 192.0.2.7 a 7 - - h\xc3\xa4 "
            + b"m" * 33 + b" [" + b"x" * 33 + b"] t",
        ),
        (
            b'<34>1 2003-10-11T22:14:15Z h a 7 m [x v="broken] t',
            b'<34>1 2003-10-11T22:14:15Z h a 7 m - [x v="broken] t',
        ),
        (
            b'<34>1 2003-10-11T22:14:15 h a 7 m [x v="1"] t',
            b'<34>1 2003-10-11T20:14:15.000Z h a 7 m [x v="1"] t',
        ),
    ],
)  # fmt: skip
def test_to_rfc5424(message: bytes, expected: bytes) -> None:
    assert one(message, "rfc5424") == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b'<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 ID47 [a b="c"] %% x',
            b'<165>Aug 24 14:14:15 192.0.2.1 myproc[8710]: ID47 [a b="c"] %% x',
        ),
        (b"<34>1 2003-08-04T05:14:15Z - su - - - x", b"<34>Aug  4 07:14:15 192.0.2.7 su: x"),
        (b"<34>1 2003-08-04T05:14:15Z h - 7 - - x", b"<34>Aug  4 07:14:15 h -[7]: x"),
        (b"<34>1 - - - - - -", b"<34>Nov 23 08:28:45 192.0.2.7"),
        (b"<34>Oct 11 22:14:15 su: x", b"<34>Oct 11 22:14:15 192.0.2.7 su: x"),
        (b"<34>Oct 01 22:14:15 h su: x", b"<34>Oct  1 22:14:15 h su: x"),
        (b"<34>Oct 11 22:14:15.5 h su: x", b"<34>Oct 11 22:14:15 h su: x"),
        (b"<148>Jun  4 2022 11:14:24 RMT %%01INFO/4: x", b"<148>Jun  4 11:14:24 RMT %%01INFO/4: x"),
        (b"<166>2018-06-27T12:17:46Z asa : %ASA-3-7: x", b"<166>Jun 27 14:17:46 asa %ASA-3-7: x"),
    ],
)
def test_to_rfc3164(message: bytes, expected: bytes) -> None:
    assert one(message, "rfc3164") == expected


@pytest.mark.parametrize(
    ("message", "to"),
    [
        (b"<34>1 2003-10-11T22:14:15.003Z host su - ID47 - \xef\xbb\xbfx", "rfc5424"),
        (b"<34>1 - - - - - -", "rfc5424"),
        (b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", "rfc3164"),
        (b"<34>Oct  1 22:14:15 mymachine no tag", "rfc3164"),
    ],
)
def test_what_has_the_format_is_left_alone(message: bytes, to: Format) -> None:
    assert one(message, to) is message


def test_to_json() -> None:
    message = (
        b"<165>1 2003-10-11T22:14:15.003+02:00 h evntslog 7 ID47 "
        rb'[x@1 iut="3" ip="a" ip="b" ip="c" q="\"\]"][y] '
        b"An entry\n\xff \xe2\x82\xac"
    )
    result = one(message, "json")
    assert b"\n" not in result
    assert json.loads(result) == {
        "priority": 165,
        "facility": "local4",
        "severity": "notice",
        "timestamp": "2003-10-11T20:14:15.003Z",
        "host": "h",
        "program": "evntslog",
        "procid": "7",
        "msgid": "ID47",
        "structured_data": {"x@1": {"iut": "3", "ip": ["a", "b", "c"], "q": '"]'}, "y": {}},
        "message": "An entry\n\\xff \u20ac",
        "received": "2026-11-23T07:28:45.123Z",
        "sender": "192.0.2.7",
    }


def test_to_json_with_the_name_in_its_senders_certificate() -> None:
    told = json.loads(one(b"<13>x", "json", sender="fw1.example.net@192.0.2.7"))
    assert told["sender"] == told["host"] == "192.0.2.7"
    assert told["peer_certificate"] == "fw1.example.net"


@pytest.mark.parametrize(
    ("message", "timestamp"),
    [
        (b"<34>1 - - - - - -", None),
        (b"x", None),
        (b"<34>2003-08-24T05:14:15.000003-07:00 h x", "2003-08-24T12:14:15.000003Z"),
        (b"<134>1 1563249630.774247467 mx84 x", "2019-07-16T04:00:30.774247467Z"),
        (b"<34>Nov 23 08:28:45 h x", "2026-11-23T07:28:45.000Z"),
    ],
)
def test_json_says_the_moment_as_finely_as_the_origin(
    message: bytes, timestamp: str | None
) -> None:
    result = json.loads(one(message, "json"))
    assert result["timestamp"] == timestamp
    assert result["host"] in ("192.0.2.7", "h", "mx84")


@pytest.mark.parametrize(
    ("stamp", "received", "moment"),
    [
        # New Year, seen from either side, and in a zone where it comes earlier
        (b"Dec 31 23:59:58", "2027-01-01T00:00:01Z", b"2026-12-31T23:59:58.000Z"),
        (b"Jan  1 00:00:01", "2026-12-31T23:59:58Z", b"2027-01-01T00:00:01.000Z"),
        (b"Jan  1 00:30:00", "2026-12-31T23:30:00Z", b"2027-01-01T00:30:00.000Z"),
        # 29 February: on the day, on the day after, and of years that have none
        (b"Feb 29 23:59:58", "2028-03-01T00:00:01Z", b"2028-02-29T23:59:58.000Z"),
        (b"Feb 29 12:00:00", "2027-03-01T12:00:00Z", b"2028-02-29T12:00:00.000Z"),
        (b"Feb 29 12:00:00", "2026-02-01T12:00:00Z", b"2024-02-29T12:00:00.000Z"),
    ],
)
def test_a_year_that_is_not_said_is_the_nearest(stamp: bytes, received: str, moment: bytes) -> None:
    message = b"<13>%b h su: x" % stamp
    (result,) = convert(
        [message], [SENDER], Form("rfc5424", US), received_ns=ns(received), zone=UTC
    )
    assert result == b"<13>1 %b h su - - - x" % moment


def test_a_device_called_by_a_colon_alone_has_no_name_that_a_header_could_hold() -> None:
    message = b"<13>date=2026-11-23 time=07:28:45 devname=: x"
    result = one(message, "rfc5424")
    assert well_formed(result)
    assert view(result).host == SENDER.encode()
    assert view(one(message, "rfc3164")).host == SENDER.encode()


@pytest.mark.parametrize("to", ["rfc5424", "rfc3164", "json"])
@pytest.mark.parametrize(
    "stamp",
    [
        b"Nov 23 07:28:45 XYZ:", b"Nov 23 07:28:45 CST:", b"2026 Nov 23 07:28:45 IST",
        b"Feb 29 2027 07:28:45", b"Feb 29 07:28:60", b"2016-12-31T23:59:60Z",
        b"1969-12-31T23:59:59Z", b"1900 Jan  1 00:00:00", b"0001-01-01T00:00:00+23:59",
        b"9999-12-31T23:59:59-23:59", b"9999-12-31T23:59:60Z", b"2099 Dec 31 23:59:60 TZ-12",
        b"01/01/1900:00:00:00 GMT",
        b"2026-02-29T00:00:00Z", b"10000-01-01T00:00:00Z", b"Nov 23 07:28:45 TZ+99:",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["UTC", "local", "Asia/Shanghai", "America/St_Johns", "-23:59"])
def test_times_that_nobody_means_cost_no_text(stamp: bytes, to: Format, name: str) -> None:
    text = b"%SYS-5-X: the text"
    (result,) = convert(
        [b"<13>%b %b" % (stamp, text)], [SENDER], Form(to, US),
        received_ns=RECEIVED, zone=zone(name),
    )  # fmt: skip
    if to == "json":
        assert json.loads(result)["message"].endswith(text.decode())
    else:
        assert result.endswith(text)


WORDS = st.sampled_from(
    [b"<13>", b"<0>", b"1 ", b"2003-10-11T22:14:15.003Z", b"Oct 11 22:14:15", b"2020 ", b"- ",
     b"host ", b"su: ", b"su[1]: ", b"12: ", b": ", b"*", b"%ASA-1-1: ", b'[a b="c"] ', b"] ",
     b" ", b"UTC", b"01/10/2001:01:01:01", b"1563249630.7 ", b"0001-01-01T00:00:00+14:00"]
)  # fmt: skip
MESSAGES = st.lists(WORDS | st.binary(max_size=6), max_size=14).map(b"".join)
SENDERS = st.sampled_from(["192.0.2.7", "2001:db8::1", "fe80::1%eth0", "local", ""])
ZONES = st.sampled_from(["UTC", "local", "Europe/Berlin", "-11:00"]).map(zone)


@given(MESSAGES, SENDERS, ZONES)
def test_any_bytes_become_well_formed_rfc5424(message: bytes, sender: str, at: tzinfo) -> None:
    result = one(message, "rfc5424", at=at, sender=sender)
    assert well_formed(result)
    assert one(result, "rfc5424", at=at, sender=sender) is result
    assert view(message).text.removeprefix(b"\xef\xbb\xbf") in result


@given(MESSAGES, SENDERS, ZONES)
@example(b": %ASA-1-1: ", "192.0.2.7", zone("UTC"))
def test_any_bytes_become_rfc3164(message: bytes, sender: str, at: tzinfo) -> None:
    result = one(message, "rfc3164", at=at, sender=sender)
    # A text that begins with `: %MNEMONIC` is Cisco's, wherever it stands.
    assert view(result).dialect in ("rfc3164", "cisco")
    assert view(result).priority is not None
    assert result.endswith(view(message).text)


@given(MESSAGES, SENDERS, ZONES)
def test_any_bytes_become_one_line_of_json(message: bytes, sender: str, at: tzinfo) -> None:
    result = one(message, "json", at=at, sender=sender)
    assert b"\n" not in result
    assert b"\r" not in result
    read = json.loads(result)
    assert read["sender"] == sender
    assert read["message"] == view(message).text.decode("utf-8", "backslashreplace")


def test_rfc5424_and_back() -> None:
    message = b"<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed"
    assert one(one(message, "rfc5424"), "rfc3164") == message
