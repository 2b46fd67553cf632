"""Accepting connections, a limited number of them, and ending them whatever their peers do."""

import errno
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import trio
from hypercorn.config import Config
from starlette.types import ASGIApp

from relay.admin.admission import LOCAL
from relay.admin.app import create_app
from relay.admin.door import Door
from relay.admin.http import HEADER_OCTETS_MAX, Connection
from relay.admin.lifetime import Lifetime
from relay.admin.state import Admin

log = logging.getLogger("relay.admin")

DEFER_SECONDS = 1.0
# After a connection that found no place: a flood of them is 1,000 a second at the most.
CROWDED_SECONDS = 0.001
# After each that comes with TLS: a flood of handshakes is 100 a second at the most.
HANDSHAKE_SECONDS = 0.01

# accept(2): no descriptor or no memory left, for now
_CAPACITY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@dataclass(slots=True, eq=False, repr=False)
class Server:
    """Serves HTTP on listening sockets. Whoever made them closes them."""

    admin: Admin
    app: ASGIApp
    config: Config

    @classmethod
    def of(cls, admin: Admin) -> "Server":
        return cls(admin, create_app(admin), _hypercorn_config())

    async def run(self, sockets: Sequence[socket.socket], door: Door) -> None:
        """Serve until cancelled; the connections end then, too."""
        async with trio.open_nursery() as nursery:
            for each in sockets:
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(each))
                nursery.start_soon(self._accept, listener, door, nursery)

    async def _accept(
        self, listener: trio.SocketListener, door: Door, nursery: trio.Nursery
    ) -> None:
        admission = self.admin.admission
        while True:
            try:
                stream = await listener.accept()
            except OSError as exc:
                if exc.errno not in _CAPACITY_ERRNOS:
                    raise
                log.debug("admin server defers accepting connections: %s", exc.strerror)
                await trio.sleep(DEFER_SECONDS)
                continue
            refused = admission.refused
            lifetime = Lifetime(trio.CancelScope())
            if admission.admit(_address(stream, door), lifetime):
                nursery.start_soon(self._serve, stream, door, lifetime)
            else:
                stream.socket.close()
            if admission.refused > refused:
                await trio.sleep(CROWDED_SECONDS)
            if door.access.context is not None:
                await trio.sleep(HANDSHAKE_SECONDS)

    async def _serve(self, stream: trio.SocketStream, door: Door, lifetime: Lifetime) -> None:
        context = door.access.context
        spoken = stream if context is None else trio.SSLStream(
            stream, context, server_side=True, https_compatible=True
        )  # fmt: skip
        try:
            with lifetime.scope:
                await Connection(self.app, self.config, spoken, lifetime, door).run()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, or speaks no TLS that we accept
        except* Exception:
            # What a client did to Hypercorn; bugs in our answers are logged by it, with traceback.
            log.debug("admin server: a connection failed", exc_info=True)
        finally:
            self.admin.admission.leave(lifetime)
            stream.socket.close()


def _address(stream: trio.SocketStream, door: Door) -> str:
    if door.local:
        return LOCAL
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # gone already
        return "unknown"


def _hypercorn_config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    config.h11_max_incomplete_size = HEADER_OCTETS_MAX
    config.websocket_max_message_size = HEADER_OCTETS_MAX
    return config
