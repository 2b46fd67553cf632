from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.frames import OutFraming, frame
from relay.wire.framing import Framer, Framing, FramingCounts

FRAMINGS: list[OutFraming] = ["octet", "lf", "nul"]


@pytest.mark.parametrize(
    ("framing", "messages", "expected"),
    [
        ("octet", [], b""),
        ("octet", [b"<1>a", b"", b"<1>two\nlines\r\n\0"], b"4 <1>a0 15 <1>two\nlines\r\n\0"),
        ("octet", [b"x" * 8192], b"8192 " + b"x" * 8192),
        ("octet", [b"a", b"x" * 8193], b"1 a8193 " + b"x" * 8193),
        ("lf", [], b""),
        ("lf", [b"<1>a", b"", b"b\r"], b"<1>a\n\nb\r\n"),
        ("lf", [b"<1>two\nlines\n", b"nul\0"], b"<1>two#012lines#012\nnul\0\n"),
        ("nul", [b"<1>a", b""], b"<1>a\0\0"),
        ("nul", [b"<1>two\0lines\0", b"lf\n"], b"<1>two#000lines#000\0lf\n\0"),
    ],
)
def test_a_batch_as_a_stream(framing: OutFraming, messages: list[bytes], expected: bytes) -> None:
    assert frame(messages, framing).data == expected


def test_where_messages_end() -> None:
    framed = frame([b"<1>a", b"<1>bc\n", b""], "octet")
    assert framed.data == b"4 <1>a6 <1>bc\n0 "
    assert [framed.end_of(n) for n in range(4)] == [0, 6, 14, 16]
    complete = [framed.complete(octets) for octets in range(18)]
    assert complete == [0] * 6 + [1] * 8 + [2] * 2 + [3] * 2


def test_escaped_messages_end_later() -> None:
    framed = frame([b"a\nb", b"c"], "lf")
    assert framed.data == b"a#012b\nc\n"
    assert [framed.end_of(n) for n in range(3)] == [0, 7, 9]
    assert [framed.complete(octets) for octets in (0, 6, 7, 8, 9, 99)] == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.binary()), st.sampled_from(FRAMINGS))
def test_ends_agree_with_one_frame_at_a_time(messages: list[bytes], framing: OutFraming) -> None:
    framed = frame(messages, framing)
    ends = [0, *accumulate(len(frame([message], framing).data) for message in messages)]
    assert [framed.end_of(n) for n in range(len(ends))] == ends
    for octets in range(len(framed.data) + 1):
        assert framed.complete(octets) == sum(end <= octets for end in ends[1:])


def _text(exclude: str) -> st.SearchStrategy[list[bytes]]:
    """Messages that begin with a PRI and have no end that a receiver takes for framing."""
    endings = (*exclude.encode(),)
    texts = st.binary().filter(lambda text: not text or text[-1] not in endings)
    return st.lists(texts.map(lambda text: b"<13>" + text))


def _receive(stream: bytes, framing: Framing) -> list[bytes]:
    framer = Framer(framing, 65536, 1048576, FramingCounts())
    return framer.feed(stream) + framer.close()


@given(_text("\n\0"), st.sampled_from(["octet", "auto"]))
def test_counted_frames_arrive_unchanged(messages: list[bytes], framing: Framing) -> None:
    assert _receive(frame(messages, "octet").data, framing) == messages


@given(_text("\r"))
def test_lf_lines_arrive_with_lf_escaped(messages: list[bytes]) -> None:
    escaped = [message.replace(b"\n", b"#012") for message in messages]
    assert _receive(frame(messages, "lf").data, "lf") == escaped


@given(_text(""))
def test_nul_lines_arrive_with_nul_escaped(messages: list[bytes]) -> None:
    escaped = [message.replace(b"\0", b"#000") for message in messages]
    assert _receive(frame(messages, "nul").data, "nul") == escaped


@given(st.lists(st.text("abü #\r<>0123456789 ", min_size=1), min_size=1))
def test_text_arrives_in_auto_however_it_was_framed(texts: list[str]) -> None:
    messages = [b"<13>" + text.rstrip("\r").encode() for text in texts]
    for framing in FRAMINGS:
        assert _receive(frame(messages, framing).data, "auto") == messages
