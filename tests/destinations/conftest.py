"""One pipe without listeners: what is put into its channel is delivered by the real loop."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from relay.core import delivery
from relay.core.account import Confirmation, PipeAccount
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.component import Destination
from relay.core.memory import Memory
from relay.core.outlet import Outlet, Reopening
from relay.core.ring import Rings
from relay.destinations import stream
from relay.system.clock import SystemClock
from relay.system.disk import SystemDisk
from relay.system.local import SystemLocal
from relay.system.log_files import SystemLogFiles
from relay.system.net import SystemNetwork
from relay.system.ports import Disk, Host, Local, Network
from relay.system.tls import SystemTls
from tests.core.parts import recount
from tests.destinations.pty import Pty

RECEIVED_NS = 1_795_419_925_000_000_000  # 2026-11-23T07:45:25Z


def real_network() -> Network:
    return SystemNetwork(trio.CapacityLimiter(4))


def real_disk() -> Disk:
    return SystemDisk(trio.CapacityLimiter(4))


def real_local() -> Local:
    return SystemLocal(trio.CapacityLimiter(4))


@dataclass(slots=True, eq=False)
class Rig:
    network: Network = field(default_factory=real_network)
    disk: Disk = field(default_factory=real_disk)
    local: Local = field(default_factory=real_local)
    account: PipeAccount = field(default_factory=lambda: PipeAccount("pipe", destination="sink"))
    rings: Rings = field(default_factory=Rings)
    reopening: Reopening = field(default_factory=Reopening)
    poison: delivery.Poison = field(default_factory=delivery.Poison)
    channel: Channel = field(init=False)
    outlet: Outlet = field(init=False)

    def __post_init__(self) -> None:
        bounds = Bounds(messages=1 << 20, memory=1 << 30)
        self.channel = Channel(self.account, bounds, Memory(1 << 31))
        files = SystemLogFiles(trio.CapacityLimiter(1))
        tls = SystemTls(trio.CapacityLimiter(1))
        host = Host(
            "relay.example.net", SystemClock(), self.network, self.disk, self.local, files, tls
        )
        self.outlet = Outlet("pipe", "sink", host, self.account, self.rings, self.reopening)

    def put(
        self,
        *messages: bytes,
        sender: str = "192.0.2.1",
        listener: str = "net",
        received_ns: int = RECEIVED_NS,
    ) -> None:
        """One batch."""
        senders = [sender] * len(messages)
        self.channel.put(Batch.of(list(messages), senders, listener, received_ns, zone="UTC"))

    @asynccontextmanager
    async def delivering(self, destination: Destination) -> AsyncIterator[trio.CancelScope]:
        """The delivery runs beside the body and is cancelled at its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.supervise, destination)
            yield nursery.cancel_scope
            nursery.cancel_scope.cancel()

    async def supervise(self, destination: Destination) -> None:
        """As the supervisor: an unexpected exception ends the delivery, which starts again."""
        while True:
            try:
                await delivery.deliver(self.channel, destination, self.outlet)
            except Exception:
                self.account.restarts += 1
                self.poison.failed(self.channel)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that only shows in a state."""
        with trio.fail_after(10):
            while not condition():
                await trio.sleep(0.001)

    async def delivered(self, seconds_max: float = 10) -> None:
        """Wait until nothing is held."""
        with trio.fail_after(seconds_max):
            await self.channel.empty()

    def sent(self) -> int:
        return self.account.delivered[Confirmation.SENT]

    def acked(self) -> int:
        return self.account.delivered[Confirmation.ACKED]

    def confirmed(self) -> int:
        return self.account.delivered[Confirmation.CONFIRMED]

    def stored(self) -> int:
        return self.account.delivered[Confirmation.STORED]

    def check(self) -> None:
        assert self.account.residual() == 0
        assert self.channel.held() == recount(self.channel)


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig() -> Iterator[MakeRig]:
    """Makes rigs, on real ports unless told otherwise; at the end every book must balance."""
    rigs: list[Rig] = []

    def make(
        network: Network | None = None, disk: Disk | None = None, local: Local | None = None
    ) -> Rig:
        rig = Rig(network or real_network(), disk or real_disk(), local or real_local())
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.check()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """For real sockets, which no clock of ours can hurry."""
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(stream, "GOODBYE_SECONDS_MAX", 0.01)


@pytest.fixture
def terminal() -> Iterator[Pty]:
    terminal = Pty()
    yield terminal
    terminal.close()
