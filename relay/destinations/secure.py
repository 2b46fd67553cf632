"""TLS for destinations: no octet of a message before the peer has proved who it is."""

from typing import NamedTuple

import trio

from relay.core.errors import DestinationDown
from relay.core.outlet import Outlet
from relay.core.tls import DestinationTls
from relay.core.values import host_of
from relay.destinations.reach import reach
from relay.destinations.session import plain
from relay.system.ports import (
    Connection,
    ConnectionBroken,
    SecureConnection,
    TlsContext,
    TlsFault,
    TlsReason,
    TlsUnusable,
)

# In TLS 1.3 the handshake is done for us before the peer has seen our certificate (RFC 8446 2). One
# that takes it says so with a session ticket at once; one that says nothing for so long is believed
# to have taken it. What comes later than this is an unclean break. A refusal takes one round trip
# from our last word, as the handshake did from our first: twice that, and within these.
VERDICT_SECONDS_MIN = 0.25
VERDICT_SECONDS_MAX = 5.0
DISCARD_OCTETS = 16 << 10


class Dial(NamedTuple):
    """How a destination gets its connection: where to, and whether over TLS."""

    address: str
    tls: DestinationTls | None
    verdict: bool = True  # wait for the peer's, where what is sent counts before it is answered

    async def connection(self, outlet: Outlet) -> Connection:
        """A connection on which messages may be sent.

        Raises:
            DestinationDown: the peer can't be reached, or not as `tls` wants it; says why.
        """
        connect = outlet.host.network.connect
        if self.tls is None:
            return await reach(outlet, self.address, "tcp", connect)
        context = await self._context(outlet)
        plaintext = await reach(outlet, self.address, "tcp", connect)
        name = self.tls.server_name or host_of(self.address)
        connection = context.wrap(plaintext, name)
        try:
            await self._shake_hands(connection, self.tls.handshake_max)
        except TlsFault as fault:
            connection.close()
            outlet.health.tls_failures[fault.reason] += 1
            raise DestinationDown(f"{self.address}: {plain(str(fault))}") from fault
        except BaseException:  # cancelled
            connection.close()
            raise
        return connection

    async def _context(self, outlet: Outlet) -> TlsContext:
        assert self.tls is not None
        try:
            return await outlet.host.tls.load(self.tls.settings())
        except TlsUnusable as unusable:
            raise DestinationDown(f"{self.address}: {unusable}") from unusable

    async def _shake_hands(self, connection: SecureConnection, seconds_max: float) -> None:
        started = trio.current_time()
        with trio.move_on_after(seconds_max) as patience:
            while not connection.handshake():
                if connection.wants_room:
                    await connection.writable()
                else:
                    await connection.readable()
        if patience.cancelled_caught:
            text = f"no TLS handshake within {seconds_max:g} s"
            raise TlsFault(TlsReason.TIMEOUT, text)
        if self.verdict and connection.version == "TLSv1.3":
            with trio.move_on_after(verdict_seconds(trio.current_time() - started)):
                await _hear(connection)


def verdict_seconds(handshake_seconds: float) -> float:
    """How long a peer's refusal of our certificate is waited for, after a handshake that long."""
    return min(max(VERDICT_SECONDS_MIN, 2 * handshake_seconds), VERDICT_SECONDS_MAX)


async def _hear(connection: SecureConnection) -> None:
    """Read until the peer has said something, or has ended, which the session finds again."""
    ended = False
    while not (connection.heard or ended):
        await connection.readable()
        try:
            ended = connection.receive(DISCARD_OCTETS) == b""
        except TlsFault:
            raise
        except ConnectionBroken as broken:
            raise TlsFault(TlsReason.CLOSED, f"{broken} after the TLS handshake") from broken
