"""Accepting HTTP connections, a limited number of them, and ending them whatever their peers do.

Hypercorn shields its writes from cancellation, so that a client that does not read would outlive
the stop. Here the task that is cancelled with a connection closes its socket, which ends the write.
"""

import errno
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import LifespanState
from starlette.types import ASGIApp

from relay.admin.app import create_app
from relay.admin.lifetime import Lifetime
from relay.admin.state import Admin
from relay.system.descriptors import descriptors_max

log = logging.getLogger("relay.admin")

CONNECTIONS_MAX = 64
CONNECTIONS_SHARE = 8  # of few descriptors, one in so many
KEEP_ALIVE_SECONDS = 20.0  # also the time a client has for its first header; scrapes come every 15
HEADER_OCTETS_MAX = 16 << 10  # as Node, Tomcat and IIS
DEFER_SECONDS = 1.0

# accept(2): no descriptor or no memory left, for now
_CAPACITY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@dataclass(slots=True, eq=False)
class Server:
    """Serves HTTP on listening sockets. Whoever made them closes them."""

    admin: Admin
    app: ASGIApp
    config: Config

    @classmethod
    def of(cls, admin: Admin) -> "Server":
        return cls(admin, create_app(admin), _hypercorn_config())

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Serve until cancelled; the connections end then, too."""
        async with trio.open_nursery() as nursery:
            for each in sockets:
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(each))
                nursery.start_soon(self._accept, listener, nursery)

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as exc:
                if exc.errno not in _CAPACITY_ERRNOS:
                    raise
                log.debug("admin server defers accepting connections: %s", exc.strerror)
                await trio.sleep(DEFER_SECONDS)
                continue
            if self.admin.connections >= connections_max():
                self.admin.connections_refused += 1
                stream.socket.close()
                continue
            self.admin.connections += 1
            nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_when_cancelled, stream.socket)
                await self._speak(stream, Lifetime(nursery.cancel_scope))
                nursery.cancel_scope.cancel()
        finally:
            self.admin.connections -= 1

    async def _speak(self, stream: trio.SocketStream, lifetime: Lifetime) -> None:
        watched = _Watched(stream, lifetime)
        # What Hypercorn calls state is handed to the application with each request.
        state = LifespanState({"lifetime": lifetime})
        app = ASGIWrapper(self.app)  # type: ignore[arg-type]  # the same protocol, other types
        server = TCPServer(app, self.config, WorkerContext(None), state, watched)  # type: ignore[arg-type]  # no TLS
        try:
            await server
        except* Exception:
            # What a client did to Hypercorn; bugs in our answers are logged by it, with traceback.
            log.debug("admin server: a connection failed", exc_info=True)


def connections_max() -> int:
    """How many are served at a time."""
    return min(CONNECTIONS_MAX, descriptors_max() // CONNECTIONS_SHARE)


class _Watched(trio.abc.HalfCloseableStream):
    """A stream that tells the connection's lifetime when the client has ended it.

    Hypercorn would keep an idle one that has ended until its keep-alive time is over.
    """

    def __init__(self, stream: trio.SocketStream, lifetime: Lifetime) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._lifetime = lifetime

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self._lifetime.end()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _close_when_cancelled(sock: trio.socket.SocketType) -> None:
    try:
        await trio.sleep_forever()
    finally:
        sock.close()


def _hypercorn_config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.h11_max_incomplete_size = HEADER_OCTETS_MAX
    config.h2_max_header_list_size = HEADER_OCTETS_MAX
    config.h2_max_concurrent_streams = 8
    config.websocket_max_message_size = HEADER_OCTETS_MAX
    return config
