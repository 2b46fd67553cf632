"""Connections, what accepts them, and many of them watched as one."""

from collections.abc import Sequence
from typing import Protocol

from relay.system.ports.endpoint import Endpoint


class ConnectionBroken(Exception):
    """The peer reset the connection, or the link died; what was not confirmed may be lost."""


class Connection(Protocol):
    """A connected byte stream, non-blocking."""

    @property
    def peer(self) -> str:
        """The peer's numeric address without port, or `local` for a unix socket."""

    def receive(self, octets_max: int) -> bytes | None:
        """What has arrived, at most `octets_max`; `None`: nothing yet; empty: the peer ended.

        Raises:
            ConnectionBroken: reset by the peer, or timed out.
        """

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Give the kernel as much as it takes (scatter-gather); return that many octets, maybe 0.

        Raises:
            ConnectionBroken: as for `receive`, and after the peer closed.
        """

    async def readable(self) -> None:
        """Wait until `receive` has something to say."""

    async def writable(self) -> None:
        """Wait until `send` takes more."""

    def unacknowledged(self) -> int:
        """Octets sent that the peer's kernel has not acknowledged (SIOCOUTQ); 0 on unix sockets.

        Our FIN counts as one. Still answered, and frozen, when the connection is broken.
        """

    def silent_seconds(self) -> float:
        """How long the peer's kernel has said nothing, while it should answer us; else 0.

        It should answer retransmissions, window probes and keepalives, also for a peer that does
        not read. It may be silent for minutes between two window probes without being asked: only
        what is silent from one look to the next was asked in vain. Always 0 on unix sockets.

        Raises:
            ConnectionBroken: reset by the peer, or timed out; told once, even after the peer's end.
        """

    def hung_up(self) -> bool:
        """The peer has ended or reset the connection, perhaps behind octets that are not read."""

    def half_close(self) -> bool:
        """Send FIN; receiving goes on. False, and harmless, on a broken connection: no FIN."""

    def seal(self) -> None:
        """From now on our kernel drops what arrives unacknowledged; what it holds can be read.

        Without privileges it may take what was underway: read until nothing has come for 50 ms.
        """

    def close(self) -> None:
        """Release the descriptor; harmless when repeated."""


class Acceptor(Protocol):
    """A listening stream socket."""

    @property
    def address(self) -> str:
        """The bound address, `HOST:PORT` with the real port, or the path."""

    def adjust(self, endpoint: Endpoint) -> None:
        """Take over what a reload has changed: the mode and owner of a unix socket's file.

        Raises:
            OSError: not permitted, or an unknown owner.
        """

    def accept(self) -> Connection | None:
        """The next connection, or `None` when the backlog is empty.

        Raises:
            OSError: accepting is impossible now (EMFILE, ENFILE, ENOBUFS, ENOMEM).
        """

    def seal(self) -> None:
        """From now on our kernel ignores attempts to connect; the backlog can be accepted.

        Close it as soon as that is empty: without privileges one more may come.
        """

    def close(self) -> None: ...


class ReadySet(Protocol):
    """Many connections and acceptors, watched as one (an epoll set, level-triggered)."""

    def add(self, source: Connection | Acceptor, *, writable: bool = False) -> None:
        """Watch for something to read, or with `writable` for room to send."""

    def discard(self, source: Connection | Acceptor) -> None:
        """Must come before the source is closed. Harmless when it is not a member."""

    def mute(self, source: Connection | Acceptor) -> None:
        """A member that is watched for reading is not told of, until `unmute`.

        But for its end or a fault, which may be told once. A tenth of what it costs to discard it
        and to add it again.
        """

    def unmute(self, source: Connection | Acceptor) -> None:
        """Tell of a muted member again, also of what came meanwhile."""

    async def wait(self) -> None:
        """Wait until at least one member is ready."""

    def ready(self) -> Sequence[Connection | Acceptor]:
        """The members that are ready now, in fair order, a bounded number of them."""

    def close(self) -> None: ...
