"""The open connections of a stream listener; they outlive its restarts and its reloads."""

from dataclasses import dataclass, field
from typing import Protocol, cast

import trio

from relay.core.networks import IPV6_PREFIX, group_of
from relay.system.ports import Connection, Identity, SecureConnection, TlsContext, TlsSettings
from relay.wire.client_hello import is_client_hello

READ_MESSAGES = 512  # what one read should bring at most, as far as the reads before it can tell
READ_OCTETS_MIN = 2 * READ_MESSAGES  # the shortest messages: one octet and its terminator
READ_OCTETS_FIRST = 4 << 10
READ_OCTETS_MAX = 128 << 10


class UnexpectedTls(Exception):
    """The connection begins a TLS handshake where messages are expected."""


class StreamFramer(Protocol):
    """Takes the bytes of one connection and gives its messages. Never raises on any bytes."""

    @property
    def buffered(self) -> int:
        """Octets held of what has begun and has not ended."""

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun and has not ended, also when nothing of it is held."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes."""

    def cut(self) -> list[bytes]:
        """Hold less of what has begun; the messages that this makes of it."""

    def close(self) -> list[bytes]:
        """What the end of the connection completes."""


@dataclass(slots=True, eq=False, repr=False)
class Stream:
    """One connection and the frame it has begun."""

    connection: Connection
    framer: StreamFramer
    heard_at: float  # monotonic seconds; until it says something, when it connected
    opening: bytes | None = b""  # its first octets, until they are known to be no TLS
    begun_at: float | None = None  # when its unfinished frame began
    buffered: int = 0  # what `Streams.buffered` counts for it
    read_octets: int = READ_OCTETS_FIRST  # of the next read
    ended_at: float | None = None  # got our FIN
    sealed_at: float | None = None
    identity: Identity | None = None
    tls: TlsSettings | None = None  # under which its peer was let in; None: in the clear
    sender: str = field(init=False)  # as `wire.sender` names it
    group: str = ""  # whom it counts for, as long as it lives; see `group_of`

    def __post_init__(self) -> None:
        self.sender = self.connection.peer

    @property
    def pending(self) -> bool:
        """There is something to read of which no descriptor tells: it is in TLS's memory."""
        return self.tls is not None and cast("SecureConnection", self.connection).pending

    @property
    def mute(self) -> bool:
        """Whether nothing was heard of it yet."""
        return self.opening == b""

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """The messages that `data`, which is never empty, completes.

        Raises:
            UnexpectedTls: nothing of it is a message.
        """
        self.heard_at = now
        if self.opening is not None:
            data = self.opening + data
            hello = is_client_hello(data)
            if hello:
                raise UnexpectedTls
            self.opening = data if hello is None else None
        found = [] if self.opening else self.framer.feed(data)
        if not (self.framer.unfinished or self.opening):
            self.begun_at = None
        elif found or self.begun_at is None:
            self.begun_at = now
        return found

    def close(self) -> list[bytes]:
        """What the end of the connection completes."""
        found = self.framer.feed(self.opening) if self.opening else []
        return found + self.framer.close()

    def resume(self, now: float) -> None:
        """It was not read for a while: the time for what it has begun counts from now."""
        if self.begun_at is not None:
            self.begun_at = now

    def pace(self, octets: int, messages: int, asked: int) -> None:
        """Choose the next read's size by what the last one brought of what it was asked for.

        How many messages there are is known only after they were read, and many short ones take
        long. It grows slowly, so that a long message before them does not open the door, and only
        where there may have been more.
        """
        wanted = octets * READ_MESSAGES // (messages or 1)
        if octets == asked:
            wanted = min(wanted, 2 * self.read_octets, READ_OCTETS_MAX)
        elif wanted >= self.read_octets:
            return
        self.read_octets = max(READ_OCTETS_MIN, wanted)

    def calm(self) -> None:
        """All that it had to say was less than `READ_OCTETS_FIRST`.

        The next read is a little shorter: who says much every other time is read at once then, as
        a message that is cut in two at the end of a read costs 8 µs more.
        """
        if self.read_octets > READ_OCTETS_FIRST:
            self.read_octets = max(READ_OCTETS_FIRST, self.read_octets * 7 // 8)

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


@dataclass(slots=True, eq=False, repr=False)
class Handshake:
    """A connection that has not proved who it is. Nothing of it is a message."""

    connection: SecureConnection
    tls: TlsSettings
    began_at: float  # monotonic seconds; later by as long as it has waited for us
    heard_at: float  # when it last had its turn
    ready_at: float | None = None  # since when it waits for its turn
    writable: bool = False  # it waits for room to send, else for something to read


@dataclass(slots=True, eq=False, repr=False)
class Streams:
    """Invariants: `buffered` is the sum over the table; `addresses` counts all peers' groups."""

    table: dict[Connection, Stream] = field(default_factory=dict)
    handshakes: dict[Connection, Handshake] = field(default_factory=dict)  # become streams
    context: tuple[TlsSettings, TlsContext] | None = None  # the last one that could be used
    buffered: int = 0  # octets of unfinished frames
    addresses: dict[str, int] = field(default_factory=dict)  # connections, by the peer's group
    ipv6_prefix: int = IPV6_PREFIX  # of these groups
    answered: dict[Stream, None] = field(default_factory=dict)  # have news for their peers
    news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    @property
    def connections(self) -> int:
        return len(self.table) + len(self.handshakes)

    def add(self, stream: Stream) -> None:
        self.table[stream.connection] = stream
        stream.group = self._count(stream.connection)

    def begin(self, handshake: Handshake) -> None:
        self.handshakes[handshake.connection] = handshake
        self._count(handshake.connection)

    def finish(self, handshake: Handshake) -> None:
        """It is done, or has failed."""
        del self.handshakes[handshake.connection]
        self._discount(handshake.connection)

    def group_by(self, ipv6_prefix: int) -> None:
        """Count peers by networks of this size from now on, also those that are there."""
        if ipv6_prefix == self.ipv6_prefix:
            return
        self.ipv6_prefix = ipv6_prefix
        self.addresses.clear()
        for connection in (*self.table, *self.handshakes):
            self._count(connection)

    def weigh(self, stream: Stream) -> None:
        """The stream's framer has been fed or cut."""
        now = stream.framer.buffered
        self.buffered += now - stream.buffered
        stream.buffered = now

    def remove(self, stream: Stream) -> None:
        del self.table[stream.connection]
        self._discount(stream.connection)
        self.buffered -= stream.buffered
        stream.buffered = 0

    def answer(self, stream: Stream) -> None:
        """Wake who sends answers: there is one for this connection. Plain, waits for nobody."""
        self.answered[stream] = None
        self.news.unpark_all()

    def largest(self) -> Stream:
        return max(self.table.values(), key=lambda stream: stream.buffered)

    def _count(self, connection: Connection) -> str:
        group = group_of(connection.peer, self.ipv6_prefix)
        self.addresses[group] = self.addresses.get(group, 0) + 1
        return group

    def _discount(self, connection: Connection) -> None:
        group = group_of(connection.peer, self.ipv6_prefix)
        self.addresses[group] -= 1
        if not self.addresses[group]:
            del self.addresses[group]
