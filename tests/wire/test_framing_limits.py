"""The framer under any bytes, any cuts and full buffers; the cases are in test_framing.py."""

import random
from dataclasses import asdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.wire.framing import HOLD_EXTRA, Framer, Framing, FramingCounts

FRAMINGS: list[Framing] = ["auto", "octet", "lf", "nul"]
LONG = 8192


@pytest.mark.parametrize(
    ("framing", "before", "after", "messages", "counts"),
    [
        (
            "auto",
            b"<1>one\n<1>two",
            b"rest\r\n<1>three\n",
            [b"<1>one", b"<1>two", b"<1>three"],
            FramingCounts(line=3, truncated=1, truncated_octets=4, skipped_octets=4),
        ),
        (
            "auto",
            b"13 <1>one",
            b"rest\r\n\n4 <1>a",  # 13 = <1>one, rest, CRLF and a LF of the text's own
            [b"<1>one", b"<1>a"],
            FramingCounts(octet=2, truncated=1, truncated_octets=6, skipped_octets=6),
        ),
        ("auto", b"<1>a\r", b"\n", [b"<1>a"], FramingCounts(line=1, truncated=1)),
        ("auto", b"6 <1>a\r", b"\n", [b"<1>a\r"], FramingCounts(octet=1, truncated=1)),
        (
            "auto",
            b"9 <1>a\xe2\x82",
            b"\xac",
            [b"<1>a"],
            FramingCounts(octet=1, truncated=1, truncated_octets=3, skipped_octets=3),
        ),
        (
            "nul",
            b"0123456789abcdefghijklmnop",
            b"qr\0",
            [b"0123456789abcdef"],
            FramingCounts(nul=1, truncated=1, truncated_octets=12, skipped_octets=12),
        ),
        ("auto", b"4 <1>a", b"", [b"<1>a"], FramingCounts(octet=1)),
        ("auto", b"12 ", b"apples\n", [b"12 apples"], FramingCounts(line=1)),
        ("octet", b"2 ", b"ab", [b"ab"], FramingCounts(octet=1)),
        ("lf", b"\r", b"a\n", [b"\ra"], FramingCounts(line=1)),
    ],
)
def test_cut_gives_what_is_there_and_skips_the_rest(
    framing: Framing, before: bytes, after: bytes, messages: list[bytes], counts: FramingCounts
) -> None:
    seen = FramingCounts()
    framer = Framer(framing, 16, 256, seen)
    given = framer.feed(before) + framer.cut() + framer.cut()
    assert framer.buffered <= 3
    given += framer.feed(after) + framer.close()
    assert given == messages
    assert seen == counts


# Any bytes.

PIECES = [
    *(b"\n", b"\r\n", b"\0", b"\r", b" ", b"<", b"<13>", b"0", b"0 ", b"1 <", b"2 ", b"9 <1>"),
    *(b"17 <", b"30 <1>", b"256 <", b"300 <", b"4 <1>a", b"x" * 13, b"x" * 40),
    *("ä".encode(), "€😀".encode()),
]
STREAMS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=40).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 400)), st.sampled_from(FRAMINGS))
@settings(max_examples=500)
def test_cut_points_do_not_matter(stream: bytes, cuts: list[int], framing: Framing) -> None:
    places = [0, *sorted(cuts), max(cuts, default=0) + len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    results = []
    for row in ([stream], pieces, [bytes([octet]) for octet in stream]):
        counts = FramingCounts()
        framer = Framer(framing, 16, 256, counts)
        messages = []
        for piece in row:
            messages += framer.feed(piece)
            assert framer.buffered <= 16 + HOLD_EXTRA
        messages += framer.close()
        results.append((messages, asdict(counts)))
    assert results[0] == results[1] == results[2]


@given(st.lists(STREAMS), st.sampled_from(FRAMINGS))
def test_every_message_is_counted_and_none_is_too_long(
    chunks: list[bytes], framing: Framing
) -> None:
    counts = FramingCounts()
    framer = Framer(framing, 16, 256, counts)
    messages = []
    for chunk in chunks:
        messages += framer.feed(chunk) + framer.cut()
        assert framer.buffered <= 16
    messages += framer.close()
    assert all(0 < len(message) <= 16 for message in messages)
    assert counts.octet + counts.line + counts.nul == len(messages)
    octets = sum(map(len, messages)) + counts.truncated_octets + counts.incomplete_octets
    assert octets <= sum(map(len, chunks))
    assert counts.skipped_octets <= counts.truncated_octets


@given(STREAMS)
def test_a_line_framer_loses_nothing_but_terminators(stream: bytes) -> None:
    counts = FramingCounts()
    framer = Framer("nul", 65536, 65536, counts)
    assert framer.feed(stream) + framer.close() == [text for text in stream.split(b"\0") if text]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("head", [b"", b"100000 <1>"])
def test_endless_frames_are_not_held(framing: Framing, head: bytes) -> None:
    framer = Framer(framing, LONG, 131072, FramingCounts())
    framer.feed(head)
    for _ in range(100):
        framer.feed(b"x" * 65536)
        assert framer.buffered <= LONG + HOLD_EXTRA


def test_a_million_random_byte_strings_never_raise() -> None:
    source = random.Random(20)
    alphabets = [b"<>0123456789 \n\r\0", b"012 <\n", b"1 <\xe2\x82\xac\n\0", bytes(range(256))]
    framers: list[Framer] = []
    for turn in range(1000):
        alphabet = source.choice(alphabets)
        octets = source.randbytes(16_000).translate(
            bytes(alphabet[i % len(alphabet)] for i in range(256))
        )
        if turn % 4 == 0:
            framers = [Framer(framing, 16, 256, FramingCounts()) for framing in FRAMINGS]
        for i in range(1000):
            start = i * 16
            framer = framers[i & 3]
            framer.feed(octets[start : start + i * 7 % 10])
            if i & 63 == 0:
                framer.cut()
        for framer in framers:
            assert framer.buffered <= 16 + HOLD_EXTRA
            framer.close()
