"""Outgoing connections."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from relay.system.ports.datagram import DatagramSender
from relay.system.ports.stream import Connection, ReadySet


class Unreachable(Exception):
    """A name that does not resolve, a refused connection, a missing socket: try again later."""


class Service(NamedTuple):
    """A server of a service: one SRV record (RFC 2782)."""

    priority: int  # 0-65535; the lowest that can be reached is to be used
    weight: int  # 0-65535; its part of the work of those of the same priority
    port: int
    target: str  # a host's name


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

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        """The servers of `_SERVICE._PROTOCOL.DOMAIN`, in no order and never empty.

        And for how many seconds they are so, as the DNS says. Cancelled: as `resolve`.

        Raises:
            Unreachable: there is no such record, nobody answers, or the domain says that it does
                not offer this service.
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
