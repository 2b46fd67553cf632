"""The format of a segment: round trips, every cut, every flipped octet, any bytes."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.batch import Batch
from relay.spool import segment
from relay.spool.segment import FRAME_OCTETS, HEADER_OCTETS, Corrupt, Frame
from tests.core.parts import make_batch, numbered

STORE = b"0123456789abcdef"

senders = st.text(max_size=20)
batches = st.lists(st.tuples(st.binary(max_size=50), senders), min_size=1, max_size=20).map(
    lambda rows: Batch.of([row[0] for row in rows], [row[1] for row in rows], "net", 7)
)


def same(one: Batch, other: Batch) -> bool:
    return (
        list(one.messages) == list(other.messages)
        and list(one.senders) == list(other.senders)
        and (one.listener, one.received_ns, one.octets, one.zone, one.notice)
        == (other.listener, other.received_ns, other.octets, other.zone, other.notice)
    )


@given(batches, st.integers(0, 2**63))
def test_a_batch_comes_back_as_it_went(batch: Batch, first: int) -> None:
    data = b"in front" + segment.frame(STORE, first, batch) + b"behind"
    found = segment.find_frame(data, 8, STORE)
    assert found is not None
    assert (found.first, found.messages) == (first, len(batch))
    assert data[found.end :] == b"behind"
    assert same(segment.decode(data, found), batch)


@pytest.mark.parametrize("batch", [numbered(0, 3), make_batch(b""), make_batch(b"\0" * 9)])
def test_a_frame_that_is_cut_or_changed_anywhere_is_none(batch: Batch) -> None:
    data = bytes(segment.frame(STORE, 5, batch))
    for end in range(len(data)):
        assert segment.find_frame(data[:end], 0, STORE) is None
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert segment.find_frame(bytes(changed), 0, STORE) is None, place


def test_a_frame_of_another_store_is_none() -> None:
    data = bytes(segment.frame(b"x" * 16, 5, numbered(0, 3)))
    assert segment.find_frame(data, 0, STORE) is None


def test_after_damage_the_next_whole_frame_is_found() -> None:
    frames = [segment.frame(STORE, n, numbered(n, n + 1)) for n in range(3)]
    data = b"".join(frames)
    for place in range(len(frames[0])):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        found = segment.next_frame(bytes(changed), 0, STORE)
        assert found is not None
        assert found.first == 1


def test_the_sync_word_of_one_store_is_none_to_another() -> None:
    """Messages come from the network: nothing in them is to be checked as if it were a frame."""
    data = bytes(segment.frame(STORE, 5, numbered(0, 3)))
    other = bytes(segment.frame(b"x" * 16, 5, numbered(0, 3)))
    assert segment.frame_octets(data, 0, STORE) == len(data)
    assert segment.frame_octets(other, 0, STORE) is None
    assert other[:4] not in data


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_read_without_a_fault(data: bytes, start: int) -> None:
    segment.find_frame(data, start, STORE)
    segment.next_frame(data, start, STORE)
    segment.frame_octets(data, start, STORE)
    with pytest.raises(Corrupt):
        segment.parse_header(data)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_payload_is_a_batch_or_corrupt(payload: bytes, messages: int) -> None:
    data = b"\0" * FRAME_OCTETS + payload
    try:
        batch = segment.decode(data, Frame(0, len(data), 0, messages))
    except Corrupt:
        return
    assert len(batch) == messages


def test_a_number_of_messages_costs_no_memory_that_they_do_not_fill() -> None:
    payload = segment._FIXED.pack(0, 7, 0, 0, 1) + segment._COUNT.pack(0)
    data = b"\0" * FRAME_OCTETS + payload
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt):
            segment.decode(data, Frame(0, len(data), 0, 1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_header_says_whose_it_is_and_where_it_begins() -> None:
    data = segment.header(STORE, 77)
    assert len(data) == HEADER_OCTETS
    found = segment.parse_header(data + b"frames")
    assert (found.version, found.store, found.first) == (segment.VERSION, STORE, 77)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(Corrupt):
            segment.parse_header(bytes(changed))


def test_a_very_large_batch_is_cut_between_messages() -> None:
    big = make_batch(*[b"x" * (3 << 20)] * 3, b"y", b"z")
    assert segment.slices(big) == [(0, 1), (1, 2), (2, 5)]
    assert segment.slices(make_batch(b"x" * (9 << 20))) == [(0, 1)]
    assert segment.slices(numbered(0, 9)) == [(0, 9)]
