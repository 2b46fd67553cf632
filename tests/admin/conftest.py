"""A relay state built by hand, and its admin server on a socket that is there beforehand."""

import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from relay.admin.server import serve_admin
from relay.config import load
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.intake import Intake
from relay.core.outlet import Outlet
from relay.supervisor.delivering import Delivering
from relay.supervisor.listening import Listening
from relay.supervisor.several import Member
from relay.supervisor.state import Relay
from relay.system.machine import SystemMachine

TEXT = """
[relay]
name = "edge01"
drain_max = "1s"
[admin]
listen = "fd:admin"
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:0"]
[listeners.internal]
type = "internal"
[destinations.siem]
type = "tcp"
address = "127.0.0.1:9"
[destinations.recent]
type = "memory"
size = "64KiB"
[pipes.forward]
from = ["net"]
to = "siem"
messages = 100
memory = "64KiB"
[pipes.look]
from = "*"
to = "recent"
"""


@dataclass(slots=True, eq=False)
class Rig:
    """`relay` is not running: what a test books is what there is."""

    directory: Path
    sockets: dict[str, socket.socket]
    relay: Relay = field(init=False)

    def __post_init__(self) -> None:
        machine = SystemMachine(inherited={name: [it] for name, it in self.sockets.items()})
        self.relay = Relay(self.load(TEXT), machine)
        for name in self.relay.config.pipes:
            self.add_pipe(name)
        for name in self.relay.config.listeners:
            self.add_listener(name)
        self.relay.phase = "running"

    def load(self, text: str) -> Any:  # noqa: ANN401
        path = self.directory / "relay.toml"
        path.write_text(text)
        return load(str(path))

    def reload(self, text: str) -> None:
        self.relay.config = self.load(text)
        self.relay.reloaded.unpark_all()

    def add_pipe(self, name: str) -> None:
        relay = self.relay
        keys = relay.config.pipes[name]
        account = relay.ledger.pipe(name, *keys.to)
        bounds = Bounds(keys.messages, keys.memory)
        channel = Channel(account, bounds, relay.memory)
        host = relay.machine.host("edge01")
        members = [
            Member(
                relay.config.destinations[it],
                Outlet(name, it, host, account, relay.rings, relay.reopening),
            )
            for it in keys.to
        ]
        relay.pipes[name] = Delivering(name, channel, relay.machine, members, keys.sharing)

    def add_listener(self, name: str) -> None:
        relay = self.relay
        account = relay.ledger.listener(name)
        account.bound = True
        intake = Intake(name, relay.machine.host("edge01"), relay.router, account, 65536)
        relay.listeners[name] = Listening(name, relay.config.listeners[name], intake)

    @property
    def unix(self) -> str:
        """Where the unix socket is, while `listen` has it."""
        return str(self.directory / "private" / "relay.sock")

    def listen(self, extra: str = "", text: str = TEXT) -> str:
        """The text with the unix socket beside the inherited one, and more in `[admin]`."""
        return text.replace(
            'listen = "fd:admin"', f'listen = ["fd:admin", "unix:{self.unix}"]\n{extra}'
        )

    def url(self, name: str = "admin") -> str:
        host, port = self.sockets[name].getsockname()
        return f"http://{host}:{port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx.AsyncClient]:
        """The admin server, and a client that talks to it."""
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_admin, self.relay)
                async with httpx.AsyncClient(base_url=self.url(), timeout=10) as client:
                    yield client
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def local(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client on the unix socket."""
        while not os.path.exists(self.unix):
            await trio.sleep(0.01)
        transport = httpx.AsyncHTTPTransport(uds=self.unix)
        async with httpx.AsyncClient(base_url="http://relay", transport=transport) as client:
            yield client

    async def connect(self, name: str = "admin") -> trio.SocketStream:
        host, port = self.sockets[name].getsockname()
        return await trio.open_tcp_stream(host, port)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in ("admin", "other")}
    try:
        yield Rig(tmp_path, sockets)
    finally:
        for each in sockets.values():
            each.close()


def from_json(answer: httpx.Response) -> Any:  # noqa: ANN401
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content)
