"""The open connections of a stream listener; they outlive its restarts and its reloads."""

from dataclasses import dataclass, field
from typing import Protocol

import trio

from relay.system.ports import Connection

READ_MESSAGES = 256  # what one read should bring at most, as far as the reads before it can tell
READ_OCTETS_MIN = 2 * READ_MESSAGES  # the shortest messages: one octet and its terminator
READ_OCTETS_FIRST = 4 << 10
READ_OCTETS_MAX = 64 << 10


class StreamFramer(Protocol):
    """Takes the bytes of one connection and gives its messages. Never raises on any bytes."""

    @property
    def buffered(self) -> int:
        """Octets held of what has begun and has not ended."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes."""

    def cut(self) -> list[bytes]:
        """Hold less of what has begun; the messages that this makes of it."""

    def close(self) -> list[bytes]:
        """What the end of the connection completes."""


@dataclass(slots=True, eq=False)
class Stream:
    """One connection and the frame it has begun."""

    connection: Connection
    framer: StreamFramer
    heard_at: float  # monotonic seconds
    buffered: int = 0  # what `Streams.buffered` counts for it
    read_octets: int = READ_OCTETS_FIRST  # of the next read
    ended_at: float | None = None  # got our FIN
    sealed_at: float | None = None

    def pace(self, octets: int, messages: int) -> None:
        """Choose the next read's size by what the last one brought.

        How many messages there are is known only after they were read, and many short ones take
        long. It grows slowly, so that a long message before them does not open the door.
        """
        wanted = octets * READ_MESSAGES // max(1, messages)
        self.read_octets = max(READ_OCTETS_MIN, min(wanted, 2 * self.read_octets, READ_OCTETS_MAX))

    def end(self, now: float) -> None:
        """Tell the peer that we shall not stay; reading goes on."""
        if self.ended_at is None:
            self.ended_at = now
            self.connection.half_close()

    def seal(self, now: float) -> None:
        """From now on our kernel acknowledges nothing more; what it holds can be read."""
        if self.sealed_at is None:
            self.sealed_at = now
            self.connection.seal()

    def silent_since(self, now: float) -> float:
        """Seconds since something was read, or since our FIN or the seal if that came later.

        What arrived meanwhile and was not read counts as silence: read before you act on it.
        """
        return now - max(self.heard_at, self.ended_at or 0.0, self.sealed_at or 0.0)


@dataclass(slots=True, eq=False)
class Streams:
    """Invariant: `buffered` is the sum over the table."""

    table: dict[Connection, Stream] = field(default_factory=dict)
    buffered: int = 0  # octets of unfinished frames
    answered: dict[Stream, None] = field(default_factory=dict)  # have news for their peers
    news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def add(self, stream: Stream) -> None:
        self.table[stream.connection] = stream

    def weigh(self, stream: Stream) -> None:
        """The stream's framer has been fed or cut."""
        now = stream.framer.buffered
        self.buffered += now - stream.buffered
        stream.buffered = now

    def remove(self, stream: Stream) -> None:
        del self.table[stream.connection]
        self.buffered -= stream.buffered
        stream.buffered = 0

    def answer(self, stream: Stream) -> None:
        """Wake who sends answers: there is one for this connection. Plain, waits for nobody."""
        self.answered[stream] = None
        self.news.unpark_all()

    def largest(self) -> Stream:
        return max(self.table.values(), key=lambda stream: stream.buffered)
