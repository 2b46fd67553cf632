"""One client's HTTP/1.1: Hypercorn's protocol on a stream, ended from outside at any moment.

Hypercorn's own server shields its writes from cancellation, so that a client that does not read
would outlive the stop, and it speaks HTTP/2 with everyone who asks.
"""

import contextlib

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from starlette.types import ASGIApp

from relay.admin.door import Door
from relay.admin.lifetime import Lifetime

HEADER_OCTETS_MAX = 16 << 10  # request line and all fields, as Node, Tomcat and IIS
RECEIVE_OCTETS = 16 << 10
DISCARD_OCTETS_MAX = 1 << 20  # of what comes after our last word

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class _Http1(H11Protocol):
    async def _check_protocol(self, event: h11.Request) -> None:
        """Never another protocol: a request for one is a request like others (RFC 9110, 7.8)."""


class Connection:
    """Reads requests and lets the application answer them, until either side has enough."""

    def __init__(
        self, app: ASGIApp, config: Config, stream: Stream, lifetime: Lifetime, door: Door
    ) -> None:
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]  # the same protocol, other types
        self._config = config
        self._stream = stream
        self._lifetime = lifetime
        # What Hypercorn calls state is handed to the application with each request.
        self._state = ConnectionState(LifespanState({"lifetime": lifetime, "door": door}))
        self._sending = trio.Lock()
        self._ended = False  # by us
        self._protocol: _Http1

    async def run(self) -> None:
        """Serve until the connection has ended; the caller closes the socket.

        Raises:
            OSError, trio.BrokenResourceError: it broke, or the TLS handshake failed.
        """
        if isinstance(self._stream, trio.SSLStream):
            await self._stream.do_handshake()
        async with TaskGroup() as group:
            self._protocol = _Http1(
                self._app, self._config, WorkerContext(None), group, self._state,
                isinstance(self._stream, trio.SSLStream), None, None, self._send,
            )  # fmt: skip
            try:
                await self._read()
            finally:
                self._lifetime.end()
            with contextlib.suppress(trio.BrokenResourceError):
                await self._protocol.handle(Closed())

    async def _read(self) -> None:
        discarded = 0
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while discarded < DISCARD_OCTETS_MAX:
                octets = await self._stream.receive_some(RECEIVE_OCTETS)
                if not octets:
                    return
                if self._ended:
                    discarded += len(octets)
                else:
                    await self._protocol.handle(RawData(bytes(octets)))

    async def _send(self, event: Event) -> None:
        """What the protocol wants done with the connection."""
        if isinstance(event, RawData) and not self._ended:
            try:
                async with self._sending:
                    await self._stream.send_all(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self._protocol.handle(Closed())
        elif isinstance(event, Closed):
            await self._end()
            await self._protocol.handle(Closed())

    async def _end(self) -> None:
        """Our last word. The client's are read a while: a reset would take ours away with it."""
        if self._ended:
            return
        self._ended = True
        self._lifetime.linger()
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with self._sending:
                if isinstance(self._stream, trio.SSLStream):
                    await self._stream.aclose()  # TLS has no half-close
                else:
                    await self._stream.send_eof()
