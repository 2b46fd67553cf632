"""A listener on real sockets, feeding one pipe that keeps everything in its channel."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from relay.core.account import ListenerAccount
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.component import Listener
from relay.core.intake import Intake
from relay.core.ledger import Ledger
from relay.core.memory import Memory
from relay.core.own import OwnMessages
from relay.core.pipe import Pipe
from relay.core.router import Router
from relay.listeners import reader
from relay.system.machine import SystemMachine
from relay.system.ports import Endpoint, Socket
from tests.core.parts import waiting


@dataclass(slots=True, eq=False)
class Rig:
    """One listener named `in`, one pipe named `all`."""

    ledger: Ledger = field(default_factory=Ledger)
    machine: SystemMachine = field(default_factory=SystemMachine)
    bounds: Bounds = field(default_factory=lambda: Bounds(1 << 20, 1 << 30))
    own: OwnMessages = field(default_factory=OwnMessages)
    sockets: list[Socket] = field(default_factory=list)
    channel: Channel = field(init=False)
    router: Router = field(init=False)

    def __post_init__(self) -> None:
        self.channel = Channel(self.ledger.pipe("all", "sink"), self.bounds, Memory(1 << 31))
        self.router = Router(self.ledger, {"in": [Pipe("all", (), self.channel)]})

    @property
    def account(self) -> ListenerAccount:
        return self.ledger.listener("in")

    def open(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            self.sockets.extend(self.machine.open(endpoint))

    def intake(self, listener: Listener) -> Intake:
        self.own.attach()
        return Intake(
            listener="in",
            host=self.machine.host("relay.example.net"),
            router=self.router,
            account=self.account,
            message_max=listener.message_max,
            local=listener.local,
            acknowledges=listener.acknowledges,
            own=self.own,
        )

    @asynccontextmanager
    async def running(self, listener: Listener) -> AsyncIterator[Intake]:
        """The listener runs inside; afterwards it is drained, and its book must balance."""
        if not self.sockets:
            self.open(listener.endpoints())
        intake = self.intake(listener)
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await listener.run(self.sockets, intake, task_status=task_status)

            await nursery.start(run)
            yield intake
            intake.drain_by[0] = min(intake.drain_by[0], trio.current_time() + 5)
            intake.draining.set()
        self.check()
        assert not intake.streams.table
        assert intake.streams.buffered == 0
        assert self.account.connections_open == 0

    def check(self) -> None:
        assert self.account.residual() == 0
        assert self.ledger.residual() == 0
        assert self.channel.account.residual() == 0

    async def texts(self, messages: int) -> list[bytes]:
        """Wait for so many messages; returns the last word of each, in order."""
        found: list[bytes] = []
        with trio.fail_after(10), self.channel.lease() as lease:
            while len(found) < messages:
                for batch in await lease.lend():
                    found += [message.rsplit(b" ", 1)[-1] for message in batch.messages]
        return found

    def held(self) -> list[bytes]:
        """Every message in the channel, in order, without taking any."""
        return [m for batch in waiting(self.channel) for m in batch.messages]


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    for socket in rig.sockets:
        socket.close()


@pytest.fixture
def read_octets(monkeypatch: pytest.MonkeyPatch) -> int:
    """What is read of a connection at a time: less than what the kernel holds of one for sure."""
    octets = 16 << 10
    monkeypatch.setattr(reader, "READ_OCTETS", octets)
    return octets
