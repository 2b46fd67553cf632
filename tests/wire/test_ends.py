"""A header that is found by where it ends is the one that reading it finds, and little is kept."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire import fronts
from relay.wire.ends import Names5424
from relay.wire.formats import EXACT, Form, Receipt, convert
from relay.wire.fronts import Fronts, Kind
from relay.wire.timestamp import zone
from tests.wire.headers import RFC5424
from tests.wire.moments import ns

KINDS: tuple[Kind, ...] = ("rfc5424", "rfc3164", "json")
UTC = zone("UTC")
RECEIVED = ns("2026-11-23T07:28:45")


STAMPS = (
    b"2026-11-23T07:28:45.123Z", b"2026-02-30T07:28:45.123Z", b"2026-11-23T07:28:45.12xZ",
    b"2026-11-23T07:28:45.123456Z", b"2026-11-23T07:28:45Z", b"-", b"", b"2026-11-23T07:28:45.Z",
    b"2026-11-23T07:28:45.1-05:30", b"2026-11-23T07:28:45.-05:30", b"2026-11-23T07:28:45x1Z",
    b"2026-11-23T07:28:45.1234567Z", b"2026-11-23T07:28:45.123]", b"2026-11-23T07:28:45.1ZZ",
    b"2026-11-23T07:28:45.123Z ",
)  # fmt: skip
TEXTS = (b"x", b"", b"- x", b"- ", b"\xef\xbb\xbfx", b"\xef\xbb\xbf", b"\xff\0", b"x" * 600)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "headers",
    [
        (b"h a p m [x]", b"h a p m [x - -", b"h a p m [x] [y]"),  # the same up to different ends
        (b"h a p - -", b"h a p - [x]", b"h a p -", b'h a p - [x y="1"]'),
        (b"h a - m -", b"h a - n -", b"h a - - -"),
        (b'h a p m [x y="\\] z"]', b'h a p m [x y="\\] zz"]', b'h a p m [x y="\\'),
        (b'h a p m [x y="a\\] b"]', b'h a p m [x y="a\\ - "]', b'h a p m [x y="a\\'),
        (b'h a p m [x y=" - "]', b'h a p m [x y="', b'h a p m [x y=" - z"]'),
        (b"h a p m -", b"h a p m  -", b" h a p m -", b"- a p m -", b"h] a p m -", b"] a p m -"),
        (b"%b a p m -" % (b"h" * 151), b"%b a p m -" % (b"h" * 150)),
    ],
)
def test_where_a_header_may_end_is_not_where_it_ends(kind: Kind, headers: list[bytes]) -> None:
    known = [b"<13>1 2026-11-23T07:28:45.123Z %b x" % header for header in headers]
    receipt = Receipt("us", RECEIVED, UTC)
    for stamp in STAMPS:
        for text in TEXTS:
            for priority in (13, 192):
                odd = [b"<%d>1 %b %b %b" % (priority, stamp, header, text) for header in headers]
                fresh()
                for _ in range(2):  # read and learned, then mostly found
                    messages = [each for it in odd for each in (*known, it, *known)]
                    converted = convert(
                        messages, ["::1"] * len(messages), Form(kind, "us"),
                        received_ns=RECEIVED, zone=UTC,
                    )  # fmt: skip
                    assert converted == [EXACT[kind](it, "::1", receipt) for it in messages]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_read_once_is_read_no_more(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [b"<13>1 2026-11-23T07:28:45.%03dZ h a p m - x" % number for number in range(20)]
    form = Form(kind, "us")
    fresh()

    def converted() -> list[bytes]:
        return list(
            convert(messages, ["::1"] * len(messages), form, received_ns=RECEIVED, zone=UTC)
        )

    read = converted()
    monkeypatch.setattr(fronts, "PLAIN5424", None)
    assert converted() == read


@given(st.lists(RFC5424, min_size=1, max_size=3), st.sampled_from(KINDS), st.data())
def test_names_that_are_known_give_what_the_exact_way_does(
    some: list[bytes], kind: Kind, data: st.DataObject
) -> None:
    """Of messages that are nearly the same: what is learned from one is looked up for others."""
    few = [it for message in some for it in (message, message.replace(b"Z ", b".000Z "))]
    messages = few + [
        message[:at] + octets + message[at + over :]
        for message in few
        for at in data.draw(st.lists(st.integers(0, len(message)), max_size=5))
        for octets in data.draw(st.lists(st.sampled_from([b"", b" ", b"-", b"]", b"x", b"- "])))
        for over in (0, 1)
    ]
    receipt = Receipt("edge01", RECEIVED, UTC)
    converted = convert(
        messages, ["::1"] * len(messages), Form(kind, "edge01"), received_ns=RECEIVED, zone=UTC
    )
    assert converted == [EXACT[kind](message, "::1", receipt) for message in messages]


def test_headers_with_and_without_data_are_found_without_reading_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = (
        b"h a p m -", b"h a p m [x] ", b"h a p - -", b'h a p - [x y="1"]', b'h a p m [x y=" - "]',
        b'h a p m [x y="\\] "]', b"g - - - -",
    )  # fmt: skip
    messages = [
        b"<13>1 2026-11-23T07:28:%b %b %b" % (stamp, header, text)
        for stamp in (b"45.123Z", b"45.123456+01:00")
        for header in headers
        for text in (b"text", b"- a ] b", b"\xef\xbb\xbf[a] - b")
    ]
    known = known_to("json")
    read = known.of5424(messages)
    monkeypatch.setattr(fronts, "PLAIN5424", None)
    assert known.of5424(messages) == read


def test_names_that_never_come_again_are_hardly_learned_by_where_they_end() -> None:
    known = known_to("json")
    header = b"<13>1 2026-11-23T07:28:45.123Z h a %d m - x"
    known.of5424([header % number for number in range(1000)])
    assert sizes(known) == [1000, 10, 0]


def test_nor_in_small_batches() -> None:
    """A look in vain takes as long as reading: one of 64 messages has one, when eight were."""
    known = known_to("json")
    header = b"<13>1 2026-11-23T07:28:45.123Z h a %d m - x"
    for number in range(1000):
        known.of5424([header % number])
    assert sizes(known) == [1000, 31, 0]


def test_names_that_come_again_after_many_that_do_not_are_learned_soon() -> None:
    known = known_to("json")
    once, often = (b"<13>1 2026-11-23T07:28:45.123Z h a %b m - x" % it for it in (b"%d", b"p"))
    for number in range(200):
        known.of5424([once % number])
    learned = sizes(known)[1]
    for _ in range(128):
        known.of5424([often])
    assert sizes(known)[1] == learned + 1
    assert known._names5424.vain_left > 4


def test_names_that_come_again_are_learned_whatever_comes_between() -> None:
    """A quarter of a batch may be of names that never do."""
    known = known_to("json")
    often, once = (b"<13>1 2026-11-23T07:28:45.123Z h a %b m - x" % it for it in (b"p", b"%d"))
    known.of5424([once % number if number % 5 == 0 else often for number in range(1000)])
    assert sizes(known) == [201, 201, 0]


def test_long_messages_are_not_cut() -> None:
    known = known_to("json")
    header = b"<13>1 2026-11-23T07:28:45.123Z h a p m - "
    known.of5424([header.ljust(513, b"x")] * 9)
    assert sizes(known) == [1, 0, 0]
    known.of5424([header.ljust(512, b"x")] * 9)
    assert sizes(known) == [1, 1, 0]


def test_names_of_rfc_5424_take_bounded_memory_in_octets() -> None:
    """The longest that are remembered, nearly all their octets escaped; and longer ones."""
    known = known_to("json")
    tracemalloc.start()
    for number in range(512):
        starts = [
            b'h%d - - - [a b="%b' % (number * 8 + each, (b" - ", b"\\] ", b"", b"-")[each % 4])
            for each in range(8)
        ]
        for octets in (400, 161, 160):
            headers = [it.ljust(octets - len(b'"] '), b"\1") + b'"] ' for it in starts]
            known._names5424.vain_left = 24.0  # no batch is given up
            found, _ = known.of5424([b"<13>1 2026-11-23T07:28:45Z %bx" % it for it in headers])
            assert None not in found
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sizes(known) == [4096, 0, 4096]
    assert {id(it) for it in known._names5424.whole.values()} == {
        id(it) for _, it in known._names5424.with_data.values()
    }
    assert taken < 6_500_000
    known.of5424([b"<13>1 2026-11-23T07:28:45Z one more - - - x"])
    assert sizes(known) == [1, 1, 0]


def fresh() -> None:
    """Nothing is known."""
    for kind in KINDS:
        fronts._NAMES[kind] = {}, Names5424()
    fronts._fronts.cache_clear()


def known_to(kind: Kind) -> Fronts:
    """What is known, with no names."""
    fresh()
    known = Fronts(kind, UTC)
    known.begin(RECEIVED // 10**9)
    return known


def sizes(known: Fronts) -> list[int]:
    names = known._names5424
    return [len(names.whole), len(names.without_data), len(names.with_data)]
