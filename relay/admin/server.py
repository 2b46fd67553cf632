"""The admin server's life: started when the listeners are bound, moved by a reload, never fatal."""

import logging
import os
import random
import socket
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from relay.admin.door import Door
from relay.admin.state import Admin
from relay.config.admin import AdminKeys, exposure
from relay.core.delivery import backoff
from relay.supervisor.machine import Machine
from relay.supervisor.restart import supervise
from relay.supervisor.state import Relay
from relay.system.make import make_private_directory
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
    relay = admin.relay
    while True:
        keys = relay.config.admin
        async with trio.open_nursery() as nursery:
            if keys is not None:
                nursery.start_soon(_serve, admin, keys)
            while relay.config.admin == keys:
                await relay.reloaded.park()
            nursery.cancel_scope.cancel()


async def _serve(admin: Admin, keys: AdminKeys) -> None:
    """Each address for itself: one that cannot be had keeps nobody from the others."""
    # Hypercorn and Starlette take 0.4 s to import: in a thread, so that messages go on flowing.
    server = await trio.to_thread.run_sync(_load_server, admin, abandon_on_cancel=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve_network, server, keys)
        for endpoint in keys.endpoints():
            if endpoint.kind != "tcp":
                nursery.start_soon(_listen, server, endpoint, keys, Door(local=True))


async def _serve_network(server: "Server", keys: AdminKeys) -> None:
    endpoints = [it for it in keys.endpoints() if it.kind == "tcp"]
    if not endpoints:
        return
    door, reloaded = Door(local=False), server.admin.relay.reloaded
    await door.open(keys, reloaded)
    async with trio.open_nursery() as nursery:
        for endpoint in endpoints:
            nursery.start_soon(_listen, server, endpoint, keys, door)
        while True:
            await reloaded.park()
            nursery.start_soon(door.renew, keys)


def _load_server(admin: Admin) -> "Server":
    from relay.admin.connections import Server

    return Server.of(admin)


async def _listen(server: "Server", endpoint: Endpoint, keys: AdminKeys, door: Door) -> None:
    acceptors = await _bind(server.admin.relay.machine, endpoint)
    sockets: list[socket.socket] = []
    try:
        for each in acceptors:
            log.info("admin server listens on %s", each.address)
            if not door.local and (text := exposure(keys, each.address)):
                log.warning("%s", text)
            sockets.append(_share(each, door))
        await server.run(sockets, door)
    finally:
        for sock in sockets:
            sock.close()
        for each in acceptors:
            each.close()  # with the file of a unix socket


async def _bind(machine: Machine, endpoint: Endpoint) -> Sequence[SocketAcceptor]:
    """The listening sockets; tried until it succeeds."""
    pauses = backoff(random.Random())  # noqa: S311 - spreads attempts, guards nothing
    told = ""
    while True:
        await machine.prepare([endpoint])
        try:
            return _open(machine, endpoint)
        except OSError as exc:
            fault = exc.strerror or str(exc)
        if fault != told:
            log.error("admin server cannot listen on %s: %s", endpoint.address, fault)
            told = fault
        await trio.sleep(next(pauses))


def _open(machine: Machine, endpoint: Endpoint) -> list[SocketAcceptor]:
    if endpoint.kind == "unix-stream":
        make_private_directory(os.path.dirname(endpoint.address) or ".")
    acceptors = []
    for each in machine.open(endpoint):
        assert isinstance(each, SocketAcceptor)
        acceptors.append(each)
    return acceptors


def _share(acceptor: SocketAcceptor, door: Door) -> socket.socket:
    """A descriptor of its own for whoever accepts."""
    sock = socket.socket(fileno=os.dup(acceptor.fileno()))
    if not door.local:  # accepted sockets inherit it
        milliseconds = int(UNREAD_SECONDS_MAX * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return sock
