"""The admin server's life: started when the listeners are bound, moved by a reload, never fatal."""

import logging
import os
import random
import socket
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from relay.admin.state import Admin
from relay.core.delivery import backoff
from relay.supervisor.machine import Machine
from relay.supervisor.restart import supervise
from relay.supervisor.state import Relay
from relay.system.address import host_port
from relay.system.ports import Endpoint
from relay.system.stream import SocketAcceptor

if TYPE_CHECKING:
    from relay.admin.connections import Server

log = logging.getLogger("relay.admin")

# A client that neither reads nor is gone holds its connection no longer than this.
UNREAD_SECONDS_MAX = 5.0


async def serve_admin(relay: Relay) -> None:
    """Serve HTTP until cancelled; a service of `relay.supervisor.serve`."""
    admin = Admin(relay)
    await supervise("admin server", partial(_run, admin), admin.failed)


async def _run(admin: Admin) -> None:
    while True:
        listen = _configured(admin.relay)
        async with trio.open_nursery() as nursery:
            if listen is not None:
                nursery.start_soon(_serve, admin, listen)
            while _configured(admin.relay) == listen:
                await admin.relay.reloaded.park()
            nursery.cancel_scope.cancel()


def _configured(relay: Relay) -> str | None:
    return relay.config.admin.listen if relay.config.admin else None


async def _serve(admin: Admin, listen: str) -> None:
    # Hypercorn and Starlette take 0.4 s to import: in a thread, so that messages go on flowing.
    server = await trio.to_thread.run_sync(_load_server, admin, abandon_on_cancel=True)
    sockets = await _bind(admin.relay.machine, listen)
    try:
        log.info("admin server listens on %s", ", ".join(map(_address, sockets)))
        admin.listening = True
        await server.run(sockets)
    finally:
        admin.listening = False
        for each in sockets:
            each.close()


def _load_server(admin: Admin) -> "Server":
    from relay.admin.connections import Server

    return Server.of(admin)


async def _bind(machine: Machine, listen: str) -> Sequence[socket.socket]:
    """The listening sockets; tried until it succeeds."""
    pauses = backoff(random.Random())  # noqa: S311 - spreads attempts, guards nothing
    told = ""
    while True:
        await machine.prepare([Endpoint("tcp", listen)])
        try:
            return _open(machine, listen)
        except OSError as exc:
            fault = exc.strerror or str(exc)
        if fault != told:
            log.error("admin server cannot listen on %s: %s", listen, fault)
            told = fault
        await trio.sleep(next(pauses))


def _open(machine: Machine, listen: str) -> list[socket.socket]:
    sockets = []
    for acceptor in machine.open(Endpoint("tcp", listen)):
        assert isinstance(acceptor, SocketAcceptor)
        try:
            each = socket.socket(fileno=os.dup(acceptor.fileno()))
        finally:
            acceptor.close()  # or its port is taken for ever when there is no descriptor left
        # Accepted sockets inherit it.
        milliseconds = int(UNREAD_SECONDS_MAX * 1000)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        sockets.append(each)
    return sockets


def _address(sock: socket.socket) -> str:
    return host_port(sock.getsockname())
