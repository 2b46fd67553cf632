"""Frames and the numbers of transactions."""

from hypothesis import given
from hypothesis import strategies as st

from relay.wire.relp.frame import (
    Fault,
    FrameReader,
    encode,
    encode_answers,
    encode_messages,
)
from relay.wire.relp.txnr import TXNR_MAX, txnrs


def test_frames_as_they_are_written() -> None:
    assert encode(7, b"close") == b"7 close 0\n"
    assert encode(7, b"rsp", b"200 OK") == b"7 rsp 6 200 OK\n"
    assert encode_messages(7, [b"a\n", b""]) == b"7 syslog 2 a\n\n8 syslog 0\n"
    assert encode_answers(TXNR_MAX, 2) == b"999999999 rsp 6 200 OK\n1 rsp 6 200 OK\n"
    assert encode_messages(7, []) == encode_answers(7, 0) == b""


def test_a_long_frame_is_held_only_as_far_as_wanted() -> None:
    reader = FrameReader(hold_max=4, data_max=10)
    for octet in b"1 x 10 abcdefghi":
        reader.feed(bytes([octet]))
        assert reader.next() is None
    assert reader.held == 4
    assert not reader.between
    reader.feed(b"j\n2 y 1 a\n3")
    assert reader.next() == (1, b"x", b"abcd", 10)
    assert reader.next() == (2, b"y", b"a", 1)
    assert reader.next() is None
    assert reader.held == 1
    assert reader.between


def test_after_a_fault_nothing_is_read() -> None:
    reader = FrameReader(hold_max=4, data_max=10)
    reader.feed(b"1 x 11 abc")
    assert reader.next() is None
    fault = Fault("too-large", "a frame of 11 octets, expected no more than 10")
    assert reader.fault == fault
    reader.feed(b"1 x 0\n")
    assert reader.next() is None
    assert reader.fault == fault


@given(st.lists(st.binary(max_size=80), max_size=8), st.integers(1, TXNR_MAX))
def test_every_frame_is_read_as_it_was_written(messages: list[bytes], first: int) -> None:
    reader = FrameReader(1 << 10, 1 << 10)
    reader.feed(encode_messages(first, messages))
    for txnr, message in zip(txnrs(first, len(messages)), messages, strict=True):
        frame = reader.next()
        assert frame == (txnr, b"syslog", message, len(message))
    assert reader.next() is None
    assert reader.held == 0
    assert reader.fault is None
