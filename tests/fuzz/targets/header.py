import re
from collections import Counter

from relay.wire.attribution import attribute
from relay.wire.dialects import named_host
from relay.wire.message import (
    data5424,
    elements,
    exact_view,
    header_places,
    recognised,
    split_tag,
    stamp_of,
    stamp_span,
    view,
    well_formed,
)
from relay.wire.priority import DEFAULT, PRIORITY_MAX, priorities, priority
from relay.wire.timestamp import bsd, rfc3339, zone
from tests.fuzz.target import Octets

ZONES = [zone(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "-11:00")]
MOMENTS = (0, 1795418925_123_000_000, 1709164800_000_000_000, (1 << 63) - 1)
WORDS = (
    b"<13>", b"<191>", b"1 ", b"2026-11-23T07:28:45.123Z", b"Nov 23 07:28:45", b"2026 ", b"- ",
    b"host ", b"su[1]: ", b"su: ", b"000012: ", b": ", b"*", b"%ASA-1-1: ", b'[a b="c"] ', b"UTC",
    b"11/23/2026:07:28:45", b"1563249630.7 ", b"date=2026-11-23 time=07:28:45 devname=", b"+02:00",
    b"RP/0/RSP0/CPU0:", b" TZ-6", b"2026-11-23 07:28:45", b"stdout F ", b"warning ", b"EST: %A",
)  # fmt: skip


def run(data: bytes) -> None:
    """Every message has a view, whatever it is, and all that look at a part of it agree.

    No letter or digit of the message is lost between the fields, and every stamp is a moment.
    """
    octets = Octets(data)
    received, at_zone = octets.choice(MOMENTS), octets.choice(ZONES)
    message = octets.rest()
    header = view(message)
    assert header == exact_view(message)
    value, at = priority(message)
    assert header.priority == value
    assert value is None or 0 <= value <= PRIORITY_MAX
    assert priorities([message]) == [DEFAULT if value is None else value]
    assert stamp_of(message) == header.stamp
    assert recognised(message, at) == (header.dialect != "none")
    assert (data5424(message) is not None) == (header.dialect == "rfc5424")
    assert (data5424(message) or None) == header.structured_data
    elements(header.structured_data or b"")
    named_host(message, at)
    split_tag(message)
    if well_formed(message):
        assert header.dialect == "rfc5424"
    check_places(message)
    if header.stamp is not None:
        moment = header.stamp.to_ns(received, at_zone)
        rfc3339(moment, 9)
        bsd(moment, at_zone)
    fields = (header.stamp.text if header.stamp else b"", header.host, header.program,
              header.procid, header.msgid, header.structured_data, header.text)  # fmt: skip
    kept = Counter(re.findall(rb"(?s).", b"".join(filter(None, fields))))
    lost = Counter(re.findall(rb"[A-Za-z0-9]", message[at:])) - kept
    assert lost <= Counter([b"1"] if message.startswith(b"1 ", at) else []), lost
    if value is not None or header.dialect != "none":
        check_attribution(message)


def check_places(message: bytes) -> None:
    places = header_places(message)
    if places is not None:
        assert list(places) == sorted(places)
        assert places[-1] <= len(message)
    _, at = priority(message)
    span = stamp_span(message, at)
    assert (span is not None) == recognised(message, at)
    if span is not None:
        assert at <= span[0] <= span[1] <= len(message)


def check_attribution(message: bytes) -> None:
    """What the kernel says of the sender: it changes once, and loses no letter."""
    once, _ = attribute(message, 4711, lambda _: b"prog")
    assert attribute(once, 4711, lambda _: b"prog") == (once, False)
    assert not letters(message) - letters(once)


def letters(message: bytes) -> Counter[bytes]:
    return Counter(re.findall(rb"[A-Za-z]", message))
