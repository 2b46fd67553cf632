"""Dialects: what is one of them and what only looks like it. Samples of each are in corpus/."""

import pytest

from relay.wire.dialects import named_host, place
from relay.wire.message import view
from relay.wire.normalise import normalise

RECEIVED_NS = 1795418925_123_000_000
STAMP = b"2026-11-23T07:28:45.123Z"


def forwarded(message: bytes) -> bytes:
    (result,), _ = normalise(
        [message], ["192.0.2.7"], received_ns=RECEIVED_NS, host=None, local=False
    )
    return result


@pytest.mark.parametrize(
    "message",
    [
        b"myprog: Nov 18 21:03:22 in a text",
        b"12: r1: sw1: Nov 18 21:03:22: %LINK-3-UPDOWN: two names",
        b"RP/0/RSP0/CPU0: Nov 23 07:28:45 no colon behind",
        b"RP:Nov 23 07:28:45 UTC: a node has slashes",
        b"2026-11-23 07:28:45,123 INFO root: started",
        b"2026-11-23 07:28:45,123 web-1 %09 is no mnemonic",
        b"2026-11-23 07:28:45 02:28:4: a colon ends a tag, no address",
        b"2026-02-30 07:28:45 192.0.2.30 there is no such day",
        b"2026/13/01:07:28:45 GMT ns1 there is no such month",
        b"date=2026-11-23 time=07:28:45 level=info a program of somebody's",
        b"date=2026-11-32 time=07:28:45 devname=fw1 no such day",
        b"time=1795418925 devname=fw1 a number only",
        b"devname=fw1 type=event no time",
        b"devname=fw1",
        b'devname="fw1 time="2026-11-23 07:28:45"',
        b"1563249630.774247467 mx84 no version in front",
        b"1 1563249630 mx84 no fraction",
    ],
)
def test_no_stamp_is_found(message: bytes) -> None:
    assert place(message, 0) is None
    assert forwarded(b"<13>" + message) == b"<13>%b 192.0.2.7 %b" % (STAMP, message)


@pytest.mark.parametrize(
    ("message", "host"),
    [
        (b"r1: %SYS-5-RESTART: x", b"r1"),
        (b"r1 : %SYS-5-RESTART: x", b"r1"),
        (b"4: r1: %SYS-5-RESTART: x", b"r1"),
        (b"4: 5: 192.0.2.9: 6: %SYS-5-RESTART: x", b"192.0.2.9"),
        (b"4: r1: 1y3w: %SYS-5-RESTART: x", b"r1"),
        (b"4: r1: *00:00:07.123: %SYS-5-RESTART: x", b"r1"),
        (b"4: r1: .%SYS-5-RESTART: x", b"r1"),
        (b"%SYS-5-RESTART: x", None),
        (b"4: %SYS-5-RESTART: x", None),
        (b"4: 5: %SYS-5-RESTART: x", None),
        (b"1w2d: %SYS-5-RESTART: x", None),
        (b"00:20:10: %SYS-5-RESTART: x", None),
        (b"r1: 5 %SYS", None),
        (b"done: 50% x", None),
        (b"r" * 400 + b": %SYS-5-RESTART: x", None),
        (b"sw1 00005e005308,USW-1.8: NETDEV: x", b"sw1"),
        (b"00005e005308,USW-1.8: NETDEV: x", None),
        (b"sw1 00005E005308,USW-1.8: NETDEV: x", None),
        (b"", None),
    ],
)
def test_a_host_without_a_stamp(message: bytes, host: bytes | None) -> None:
    assert named_host(b"<13>" + message, 4) == host


@pytest.mark.parametrize(
    ("message", "header"),
    [
        (b"sw1 00005e005308,USW-1.8: NETDEV: x", STAMP),  # its host stands where one belongs
        (b"r1: %SYS-5-RESTART: x", STAMP),
        (b"4: r1: %SYS-5-RESTART: x", STAMP + b" r1"),
        (b"4: %SYS-5-RESTART: x", STAMP + b" 192.0.2.7"),
    ],
)
def test_of_a_host_that_is_there_only_the_stamp_goes_in_front(
    message: bytes, header: bytes
) -> None:
    assert forwarded(b"<13>" + message) == b"<13>%b %b" % (header, message)


@pytest.mark.parametrize(
    ("behind", "host", "program", "procid", "text"),
    [
        (b"h info tmm[1]: x", b"h", b"tmm", b"1", b"info x"),
        (b"h info tmm: x", b"h", None, None, b"info tmm: x"),
        (b"h information tmm[1]: x", b"h", None, None, b"information tmm[1]: x"),
        (b"info tmm[1]: x", b"info", b"tmm", b"1", b"x"),
        (b"h 00076 ports: x", b"h", b"ports", None, b"00076 x"),
        (b"h 0076 ports: x", b"h", None, None, b"0076 ports: x"),
        (b"h 00076 ports up", b"h", None, None, b"00076 ports up"),
        (b"h 00005e005309,U7-8: a[7]: x", b"h", b"a", b"7", b"00005e005309,U7-8: x"),
        (b"h 00005e005309,U7-8: x", b"h", None, None, b"00005e005309,U7-8: x"),
        (b"h a,b: x", b"h", b"a,b", None, b"x"),
        (b"stdout F x", None, None, None, b"stdout F x"),
        (b"stdout G x", b"stdout", None, None, b"G x"),
        (b" h su: x", b"h", b"su", None, b"x"),
        (b" h x", None, None, None, b" h x"),
        (b"CET h su: x", b"h", b"su", None, b"x"),
        (b"CET su: x", b"CET", b"su", None, b"x"),
        (b"CET h x", b"CET", None, None, b"h x"),
        (b"XYZ h su: x", b"XYZ", None, None, b"h su: x"),
        (b"asa : %ASA-1-1: x", b"asa", None, None, b"%ASA-1-1: x"),
        (b"asa : ASA", b"asa", None, None, b": ASA"),
        (b"%SYS-5-X: x", None, None, None, b"%SYS-5-X: x"),
        (b"12: x", None, None, None, b"12: x"),
        (b"fe80::1%eth0 su: x", b"fe80::1%eth0", b"su", None, b"x"),
        (b"fe80:: su: x", b"fe80::", b"su", None, b"x"),
        (b"h *%SYS-5-X: x", b"h", None, None, b"*%SYS-5-X: x"),
    ],
)
def test_what_stands_behind_the_stamp(
    behind: bytes,
    host: bytes | None,
    program: bytes | None,
    procid: bytes | None,
    text: bytes,
) -> None:
    header = view(b"<13>Nov 23 07:28:45 " + behind)
    assert header[5:] == (host, program, procid, None, None, text)


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        (b"devname=fw1 devid=1", b"fw1"),
        (b'devname="fw 1" devid=1', None),  # no host can be called so
        (b"devname= devid=1", None),
        (b"devname=: devid=1", None),  # nor so: it would end a stamp or be a tag
        (b"devname=fe80:: devid=1", b"fe80::"),
        (b'device_name="fw1"', b"fw1"),
        (b"sn=1 fw=192.0.2.1", b"192.0.2.1"),
    ],
)
def test_the_name_among_the_fields(fields: bytes, host: bytes | None) -> None:
    message = b"<13>date=2026-11-23 time=07:28:45 " + fields
    assert view(message).dialect == "fields"
    assert view(message).host == host
    assert view(message).text == message[4:]


@pytest.mark.parametrize(
    ("zone", "second"),
    [(b"", 0), (b'tz="+0100"', -3600), (b"tz=EST", 5 * 3600), (b"tz=UTC", 0), (b"tz=XYZ", 0),
     (b"tz=TZ-6", 0), (b"tz=+9900", 0), (b"timezone=CET", -3600)],
)  # fmt: skip
def test_the_zone_among_the_fields(zone: bytes, second: int) -> None:
    found = place(b"date=2026-11-23 time=07:28:45 devname=fw1 " + zone, 0)
    assert found is not None
    assert (found.stamp.offset or 0) == -second
    assert found.stamp.text == b"2026-11-23 07:28:45"
