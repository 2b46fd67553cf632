from typing import cast

import pytest

from relay.core.streams import (
    READ_MESSAGES,
    READ_OCTETS_FIRST,
    READ_OCTETS_MAX,
    READ_OCTETS_MIN,
    Stream,
    Streams,
    UnexpectedTls,
)
from relay.system.ports import Connection
from relay.wire.framing import Framer, FramingCounts


class Line:
    """A connection as far as the table looks at it."""

    def __init__(self, peer: str = "192.0.2.1") -> None:
        self.peer = peer
        self.times_sealed = 0
        self.times_ended = 0

    def half_close(self) -> None:
        self.times_ended += 1

    def seal(self) -> None:
        self.times_sealed += 1


def open_stream(peer: str = "192.0.2.1") -> Stream:
    framer = Framer("lf", 100, 1000, FramingCounts())
    return Stream(cast("Connection", Line(peer)), framer, heard_at=0.0)


def check(streams: Streams) -> None:
    assert streams.buffered == sum(stream.framer.buffered for stream in streams.table.values())


def test_what_is_buffered_is_the_sum_over_the_table() -> None:
    streams = Streams()
    first, second = open_stream(), open_stream()
    for stream, data in ((first, b"abc"), (second, b"abcdef"), (first, b"\nab")):
        if stream.connection not in streams.table:
            streams.add(stream)
        stream.framer.feed(data)
        streams.weigh(stream)
        check(streams)
    assert streams.largest() is second
    second.framer.cut()
    streams.weigh(second)
    check(streams)
    assert streams.largest() is first
    streams.remove(first)
    check(streams)
    assert list(streams.table) == [second.connection]
    assert first.buffered == 0


def test_a_stream_is_found_by_its_connection() -> None:
    streams = Streams()
    stream = open_stream()
    streams.add(stream)
    assert streams.table[stream.connection] is stream


def test_peers_are_counted_by_their_networks_of_any_size() -> None:
    streams = Streams()
    there = [open_stream(f"2001:db8:0:{n & 1}::{n:x}") for n in range(5)]
    for stream in [*there, open_stream()]:
        streams.add(stream)
    v4 = {"192.0.2.1": 1}
    assert streams.addresses == v4 | {"2001:db8::/64": 3, "2001:db8:0:1::/64": 2}
    streams.group_by(48)
    assert streams.addresses == v4 | {"2001:db8::/48": 5}
    streams.remove(there[0])
    streams.group_by(128)
    assert streams.addresses == v4 | {it.connection.peer: 1 for it in there[1:]}
    for stream in there[1:]:
        streams.remove(stream)
    assert streams.addresses == v4


def test_a_connection_is_sealed_once() -> None:
    stream = open_stream()
    stream.seal(1.0)
    stream.seal(2.0)
    assert stream.sealed_at == 1.0
    assert stream.silent_since(3.0) == 2.0
    assert cast("Line", stream.connection).times_sealed == 1


def test_a_connection_gets_one_fin_and_its_silence_counts_from_there() -> None:
    stream = open_stream()
    stream.end(1.0)
    stream.end(2.0)
    assert stream.ended_at == 1.0
    assert stream.silent_since(3.0) == 2.0
    stream.heard_at = 2.5
    assert stream.silent_since(3.0) == 0.5
    assert cast("Line", stream.connection).times_ended == 1


def test_short_messages_make_reads_short_at_once_and_long_ones_make_them_longer_slowly() -> None:
    stream = open_stream()
    stream.pace(READ_OCTETS_FIRST, READ_OCTETS_FIRST // 2, READ_OCTETS_FIRST)
    assert stream.read_octets == READ_OCTETS_MIN == 2 * READ_MESSAGES
    sizes = []
    for _ in range(8):
        stream.pace(stream.read_octets, stream.read_octets // 256, stream.read_octets)
        sizes.append(stream.read_octets)
    assert sizes == [2048, 4096, 8192, 16384, 32768, 65536, 131072, 131072]
    stream.pace(100_000, 0, READ_OCTETS_MAX)
    assert stream.read_octets == READ_OCTETS_MAX
    stream.pace(1, 1, 1)  # a trickle says how long messages are as well
    assert stream.read_octets == READ_OCTETS_MIN


def test_reads_that_bring_all_there_is_grow_no_longer() -> None:
    """But shorter, when messages are."""
    stream = open_stream()
    stream.pace(256, 1, READ_OCTETS_FIRST)
    stream.pace(READ_OCTETS_FIRST - 1, 0, READ_OCTETS_FIRST)
    assert stream.read_octets == READ_OCTETS_FIRST
    stream.pace(2000, 1000, READ_OCTETS_FIRST)
    assert stream.read_octets == READ_OCTETS_MIN
    stream.pace(256, 1, READ_OCTETS_MIN)
    assert stream.read_octets == READ_OCTETS_MIN


def test_who_says_little_again_and_again_is_soon_read_shortly() -> None:
    """Not after once: it may say much every other time."""
    stream = open_stream()
    stream.read_octets = READ_OCTETS_MAX
    sizes = []
    for _ in range(30):
        stream.calm()
        sizes.append(stream.read_octets)
    assert sizes[:3] == [114688, 100352, 87808]
    assert sizes[-2:] == [READ_OCTETS_FIRST, READ_OCTETS_FIRST]
    stream.read_octets = READ_OCTETS_MIN
    stream.calm()
    assert stream.read_octets == READ_OCTETS_MIN


def test_connections_are_counted_by_address_while_they_are_open() -> None:
    streams = Streams()
    opened = []
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        opened.append(open_stream(peer))
        streams.add(opened[-1])
    assert streams.addresses == {"192.0.2.1": 2, "192.0.2.2": 1}
    for stream in opened:
        streams.remove(stream)
    assert streams.addresses == {}


def test_what_has_begun_is_timed_from_its_begin() -> None:
    stream = open_stream()
    begun = []
    for now, data in enumerate([b"a", b"b", b"c\n", b"\n", b"d\ne", b"f\ng", b"h", b"\n"]):
        stream.feed(data, float(now))
        begun.append(stream.begun_at)
    assert begun == [0.0, 0.0, None, None, 4.0, 5.0, 5.0, None]


def test_time_in_which_it_was_not_read_does_not_count() -> None:
    stream = open_stream()
    stream.resume(1.0)
    assert stream.begun_at is None
    stream.feed(b"a", 2.0)
    stream.resume(9.0)
    assert stream.begun_at == 9.0


def test_first_octets_wait_until_they_are_known_to_be_no_tls() -> None:
    stream = open_stream()
    assert stream.mute
    assert stream.feed(b"\x16", 1.0) == []
    assert not stream.mute
    assert stream.begun_at == 1.0
    assert stream.feed(b"\x03", 2.0) == []
    assert stream.begun_at == 1.0
    assert stream.feed(b"a\n", 3.0) == [b"\x16\x03a"]
    assert stream.begun_at is None
    assert stream.feed(b"\x16\x03\x01\x00\x05\x01\n", 4.0) == [b"\x16\x03\x01\x00\x05\x01"]


def test_first_octets_that_wait_at_the_end_are_text() -> None:
    stream = open_stream()
    stream.feed(b"\x16\x03", 1.0)
    assert stream.close() == [b"\x16\x03"]
    assert open_stream().close() == []


def test_tls_is_no_message() -> None:
    stream = open_stream()
    with pytest.raises(UnexpectedTls):
        stream.feed(b"\x16\x03\x01\x00\x05\x01 and more\n", 1.0)
