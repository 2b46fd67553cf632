"""The short way to another format gives what the exact one does, and remembers little."""

from collections.abc import Sized

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.formats import EXACT, Form, Receipt, convert
from relay.wire.fronts import Fronts, Kind
from relay.wire.timestamp import zone
from tests.wire.headers import MESSAGES
from tests.wire.moments import MOMENTS, ns

KINDS: tuple[Kind, ...] = ("rfc5424", "rfc3164", "json")
ZONES = [zone(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "-11:00")]
SENDERS = ("192.0.2.7", "local", "", "fw1@2001:db8::1")
UTC = zone("UTC")
RECEIVED = ns("2026-11-23T07:28:45")
MIDNIGHTS = st.sampled_from([ns("2026-11-23T07:28:45"), ns("2027-01-01") - 1, ns("2027-01-01")])


@given(
    st.lists(MESSAGES, min_size=1, max_size=4),
    MIDNIGHTS | MOMENTS,
    st.sampled_from(ZONES),
    st.data(),
)
def test_the_short_way_gives_what_the_exact_one_does(
    some: list[bytes], received: int, at: object, data: st.DataObject
) -> None:
    """Messages come again in a batch, and from others."""
    messages = data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=8))
    senders = data.draw(
        st.lists(st.sampled_from(SENDERS), min_size=len(messages), max_size=len(messages))
    )
    receipt = Receipt("edge01", received, at)  # type: ignore[arg-type]
    for kind in KINDS:
        converted = convert(
            messages, senders, Form(kind, "edge01"), received_ns=received, zone=receipt.zone
        )
        for message, sender, found in zip(messages, senders, converted, strict=True):
            expected = EXACT[kind](message, sender, receipt)
            assert found == expected
            assert (found is message) == (expected is message)


@pytest.mark.parametrize(
    ("message", "kind", "front"),
    [
        (b"<34>Oct 11 22:14:15 h su[7]: x", "rfc5424",
         b"<34>1 2026-10-11T22:14:15.000Z h su 7 - - "),
        (b"<34>Oct 11 22:14:15 h su: x", "rfc3164", b""),
        (b"<34>2026-10-11T22:14:15.5+02:00 h su: x", "rfc5424",
         b"<34>1 2026-10-11T22:14:15.5+02:00 h su - - - "),
        (b"<34>2026-10-11T22:14:15.5+02:00 h su: x", "rfc3164", b"<34>Oct 11 20:14:15 h su: "),
        (b"<34>1 2026-10-11T22:14:15Z h - 7 I [a] x", "rfc3164",
         b"<34>Oct 11 22:14:15 h -[7]: I [a] "),
        (b"<34>1 2026-10-11T22:14:15Z h - - - - \xef\xbb\xbfx", "rfc3164",
         b"<34>Oct 11 22:14:15 h "),
        (b"<34>1 2026-10-11T22:14:15Z h - - - - x", "rfc5424", b""),
    ],
)  # fmt: skip
def test_a_front(message: bytes, kind: Kind, front: bytes) -> None:
    assert look(at(kind, RECEIVED), message) == (front, b"x")


@pytest.mark.parametrize(
    "message",
    [
        b"<34>Oct 11 22:14:15 h su: ",
        b"<34>1 2026-10-11T22:14:15Z h a - - - \xef\xbb\xbf",
        b"<34>Oct 32 22:14:15 h su: x",
        b"<34>1 2026-02-29T22:14:15Z h a - - - x",
        b"no header",
        b"",
    ],
)
def test_without_a_text_or_a_plain_header_there_is_none(message: bytes) -> None:
    for kind in KINDS:
        known = at(kind, RECEIVED)
        assert look(known, message) is None
        assert not known.by_head


def test_a_stamp_that_means_another_year_within_the_second_is_not_remembered() -> None:
    """Half a year away from two years' days, and nearer to the later one by and by."""
    midway = ns("2026-11-23T19:28:45")
    message = b"<13>May 25 07:28:45 h su: x"
    years = [
        convert([message], ["::1"], Form("rfc5424", "us"), received_ns=received, zone=UTC)[0][6:10]
        for received in (midway - 1, midway, midway + 1, midway + 10**9)
    ]
    assert years == [b"2026", b"2026", b"2027", b"2027"]
    assert look(at("rfc5424", midway), message) is None


def test_hostile_headers_take_no_more_memory_than_a_few() -> None:
    known = at("json", RECEIVED)
    most = [0] * 5
    for number in range(10_000):
        time = b"%02d:%02d" % (number // 60 % 60, number % 60)
        for message in (b"<13>Nov 23 07:%b host%d su: x", b"<13>2026-11-23T07:%bZ host%d su: x"):
            assert look(known, message % (time, number))
            assert look(known, message % (time, number))
        most = list(map(max, most, map(len, remembered(known))))
    assert most == [2048, 2048, 2048, 1024, 4096]


def test_long_headers_are_not_remembered() -> None:
    known = at("json", RECEIVED)
    known._names3164.clear()
    for _ in range(3):
        assert look(known, b"<13>Nov 23 07:28:45 %b su: x" % (b"h" * 250))
    assert [*known.by_head, *known._names3164] == []


def test_a_text_that_is_missing_leaves_no_space_behind_a_header_that_is_known() -> None:
    messages = [b"<13>Nov 23 07:28:45 a su: x", b"<13>Nov 23 07:28:45 a su: "] * 3
    found = convert(messages, ["::1"] * 6, Form("rfc5424", "us"), received_ns=RECEIVED, zone=UTC)
    assert found[1::2] == [b"<13>1 2026-11-23T07:28:45.000Z a su - - -"] * 3


def test_what_comes_often_is_remembered_by_halves_and_then_as_a_whole() -> None:
    known = at("rfc5424", RECEIVED)
    known._names3164.clear()
    for message in (b"<13>Nov 23 07:28:45 a su: x", b"<14>Nov 23 07:28:45 b su: x"):
        assert look(known, message)
    assert not known.by_head
    assert look(known, b"<14>Nov 23 07:28:45 a su: x")
    assert known.by_head == {
        b"<14>Nov 23 07:28:45 a su": b"<14>1 2026-11-23T07:28:45.000Z a su - - - "
    }


def at(kind: Kind, received: int) -> Fronts:
    known = Fronts(kind, UTC)
    known.begin(received // 10**9)
    return known


def remembered(known: Fronts) -> list[Sized]:
    stamps = known._stamps
    names = (known._names3164, known._names5424.whole)
    return [known.by_head, known._openings, stamps._known, stamps.utc, *names]


def look(known: Fronts, message: bytes) -> tuple[bytes, bytes] | None:
    head, _, text = message.partition(b": ")
    return known.look(message, head, text)


def test_what_is_remembered_holds_for_a_second_of_receipt() -> None:
    message = b"<13>Nov 23 07:28:45 h su: x"
    for received, year in ((RECEIVED, b"2026"), (ns("2031-11-23"), b"2031")) * 2:
        for _ in range(2):
            (found,) = convert(
                [message], ["::1"], Form("rfc5424", "us"), received_ns=received, zone=UTC
            )
            assert found[6:10] == year


@pytest.mark.parametrize("kind", ["rfc5424", "rfc3164", "json"])
@pytest.mark.parametrize("host", [b"h", b"=x", b"2026"])
def test_what_is_names_in_one_header_is_text_in_another(kind: Kind, host: bytes) -> None:
    """A sender is not to change what another one's messages become."""
    messages = [
        b"<13>Nov 23 07:28:45 a su: x",
        b"<13>1 2026-11-23T07:28:45Z %b a p m - x" % host,
        b"<13>Nov 23 07:28:45 %b a p m - : text" % host,
    ]
    receipt = Receipt("us", RECEIVED, UTC)
    for message in messages:
        (found,) = convert([message], ["::1"], Form(kind, "us"), received_ns=RECEIVED, zone=UTC)
        assert found == EXACT[kind](message, "::1", receipt)
