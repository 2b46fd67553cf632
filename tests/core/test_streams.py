from typing import cast

from relay.core.streams import (
    READ_MESSAGES,
    READ_OCTETS_FIRST,
    READ_OCTETS_MAX,
    READ_OCTETS_MIN,
    Stream,
    Streams,
)
from relay.system.ports import Connection
from relay.wire.framing import Framer, FramingCounts


class Line:
    """A connection as far as the table looks at it."""

    def __init__(self) -> None:
        self.times_sealed = 0
        self.times_ended = 0

    def half_close(self) -> None:
        self.times_ended += 1

    def seal(self) -> None:
        self.times_sealed += 1


def open_stream() -> Stream:
    framer = Framer("lf", 100, 1000, FramingCounts())
    return Stream(cast("Connection", Line()), framer, heard_at=0.0)


def check(streams: Streams) -> None:
    assert streams.buffered == sum(stream.framer.buffered for stream in streams.table.values())


def test_what_is_buffered_is_the_sum_over_the_table() -> None:
    streams = Streams()
    first, second = open_stream(), open_stream()
    for stream, data in ((first, b"abc"), (second, b"abcdef"), (first, b"\nab")):
        streams.table.setdefault(stream.connection, stream)
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
    stream.pace(READ_OCTETS_FIRST, READ_OCTETS_FIRST // 2)
    assert stream.read_octets == READ_OCTETS_MIN == 2 * READ_MESSAGES
    sizes = []
    for _ in range(8):
        stream.pace(stream.read_octets, stream.read_octets // 256)
        sizes.append(stream.read_octets)
    assert sizes == [1024, 2048, 4096, 8192, 16384, 32768, 65536, 65536]
    stream.pace(100_000, 0)
    assert stream.read_octets == READ_OCTETS_MAX
    stream.pace(1, 1)  # a trickle says how long messages are as well
    assert stream.read_octets == READ_OCTETS_MIN
