"""The narrow ports through which Relay touches clock, network and disk.

Everything that opens a socket or a file is handed in through these protocols, so that a
simulation hands in its own and runs the code that ships. The real ones stand in
`relay.system.clock`, `relay.system.net` and `relay.system.disk`; nothing else implements or goes
around them, and `tests/test_architecture.py` says so.

Calls that are not `async` never block. `OSError` leaves a port only where its docstring says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


class ConnectionBroken(Exception):
    """The peer reset the connection, or the link died; what was not confirmed may be lost."""


class Unreachable(Exception):
    """A name that does not resolve, a refused connection, a missing socket: try again later."""


class FamilyMissing(OSError):
    """This kernel has no IPv6, or no IPv4: an endpoint to be skipped with one warning."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a listener listens; the identity under which a socket outlives a reload.

    `address` is `HOST:PORT` as configured (`[::1]:514`, `*:514` for both families), an absolute or
    relative path for unix sockets, or `fd:NAME` for a socket that the service manager hands over.
    """

    kind: Literal["udp", "tcp", "unix-datagram", "unix-stream"]
    address: str
    receive_buffer: int | None = None  # octets; None leaves the kernel's default
    mode: int | None = None  # permissions of a unix socket's file
    owner: str | None = None  # USER, USER:GROUP or :GROUP of a unix socket's file


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds, for durations (`trio.current_time`)."""

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch, for stamps."""


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
        """Octets sent that the peer's kernel has not acknowledged (SIOCOUTQ); 0 on unix sockets."""

    def half_close(self) -> None:
        """Send FIN; receiving goes on. Harmless on a broken connection."""

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

    def add(self, source: Connection | Acceptor) -> None: ...

    def discard(self, source: Connection | Acceptor) -> None:
        """Must come before the source is closed. Harmless when it is not a member."""

    async def wait(self) -> None:
        """Wait until at least one member is ready."""

    def ready(self) -> Sequence[Connection | Acceptor]:
        """The members that are readable now, in fair order, a bounded number of them."""

    def close(self) -> None: ...


class DatagramReceiver(Protocol):
    """A bound datagram socket (UDP or unix)."""

    @property
    def address(self) -> str: ...

    def adjust(self, endpoint: Endpoint) -> None:
        """Take over what a reload has changed: receive buffer, or the file's mode and owner.

        Raises:
            OSError: not permitted, or an unknown owner.
        """

    @property
    def receive_buffer_granted(self) -> int | None:
        """Octets of receive buffer that the kernel gave; `None` when no size was asked for."""

    def receive(self, messages_max: int, octets_max: int) -> tuple[list[bytes], list[str]]:
        """Datagrams that have arrived and their senders' addresses (`local` on unix), in order.

        Stops at `messages_max` datagrams or once `octets_max` is passed (a few datagrams beyond it
        over UDP, which come together); empty lists: nothing there. A datagram is never cut. Pending
        socket errors are swallowed.
        """

    async def readable(self) -> None: ...

    def kernel_drops(self) -> int:
        """Datagrams our kernel dropped on this socket since it was opened here (SO_MEMINFO).

        Grows past 2**32 although the kernel's own count wraps there; always 0 on unix sockets,
        whose senders wait instead.
        """

    def new_kernel_drops(self) -> int:
        """Those of `kernel_drops` that no earlier call has returned: book them now."""

    def seal(self) -> None:
        """From now on our kernel ignores what arrives, uncounted; what it holds can be read."""

    def close(self) -> None: ...


class DatagramSender(Protocol):
    """A connected datagram socket (UDP or unix)."""

    def send(self, message: bytes) -> bool:
        """True: our kernel took it. False: no room now, wait for `writable`.

        Raises:
            ConnectionRefusedError: an ICMP error answered an earlier datagram; this is not sent.
            OSError: anything else, EMSGSIZE included.
        """

    async def writable(self) -> None: ...

    def close(self) -> None: ...


class Network(Protocol):
    """Outgoing connections. Names are resolved in a thread of the pipe's own limiter."""

    async def resolve(
        self, address: str, *, kind: Literal["tcp", "udp"]
    ) -> Sequence[tuple[str, int]]:
        """Numeric addresses of `HOST:PORT`, in the resolver's order, never empty.

        Cancelled: the look-up is abandoned in its thread.

        Raises:
            Unreachable: the name does not resolve (now).
        """

    async def connect(self, address: tuple[str, int]) -> Connection:
        """A TCP connection to a numeric address, keepalive on, `TCP_NODELAY` on.

        Raises:
            Unreachable: refused, no route, timed out.
        """

    async def connect_datagram(self, address: tuple[str, int]) -> DatagramSender:
        """A connected UDP socket.

        Raises:
            Unreachable: no route or no such address family here.
        """

    async def connect_unix(self, path: str) -> Connection:
        """A unix stream connection.

        Raises:
            Unreachable: missing, refused or not permitted.
        """

    async def connect_unix_datagram(self, path: str) -> DatagramSender:
        """A connected unix datagram socket.

        Raises:
            Unreachable: missing, refused or not permitted.
        """

    def ready_set(self) -> ReadySet: ...


class File(Protocol):
    """A file open for appending. Each call is one hop to a thread.

    A cancelled call still runs to its end and returns its result, unless the stop's deadline has
    abandoned it: what is on disk is always known while the relay runs.
    """

    async def append(self, lines: Sequence[bytes], *, sync: bool = False) -> int:
        """Write whole lines at the end; return how many are there entirely, at least one.

        A line that fits only in part (full disk) is cut away again. With `sync`, `fdatasync` before
        returning.

        Raises:
            OSError: not even the first line could be written, or the sync failed.
        """

    async def replaced(self) -> bool:
        """True when the path no longer leads to this file (rotated away or removed)."""

    async def close(self) -> None: ...


class Disk(Protocol):
    """Files, in threads of the pipe's own limiter."""

    async def open_append(self, base: str, path: str, *, mode: int) -> File:
        """Open or create `base/path` for appending, creating the directories between.

        No symbolic link below `base` is followed and no path leaves it.

        Raises:
            OSError: as open(2); ELOOP for a symbolic link.
        """

    async def write_stdout(self, data: bytes) -> int:
        """Write to standard output; octets taken, at least one.

        Raises:
            OSError: closed or broken.
        """


@dataclass(frozen=True, slots=True)
class Host:
    """All ports together, as a listener or a pipe gets them."""

    name: str  # our host name, `relay.name` of the configuration
    clock: Clock
    network: Network
    disk: Disk
