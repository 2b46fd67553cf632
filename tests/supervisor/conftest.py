"""A whole relay in the test's own Trio: real sockets, signals by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from relay.config import load
from relay.supervisor.serve import serve
from relay.supervisor.state import Relay
from relay.system.machine import SystemMachine

BASE = """
[relay]
name = "edge01"
drain_max = "1s"
[admin]
listen = "off"
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:0"]
[destinations.ring]
type = "memory"
[pipes.all]
spool = "never"
from = "net"
to = "ring"
"""


@dataclass(slots=True, eq=False)
class Bench:
    """The file that the relay reads, and the relay while it runs."""

    directory: Path
    machine: SystemMachine = field(default_factory=SystemMachine)
    relay: Relay = field(init=False)
    signals: trio.MemorySendChannel[int] = field(init=False)

    def write(self, text: str) -> None:
        (self.directory / "relay.toml").write_text(text.replace("DIR", str(self.directory)))

    @asynccontextmanager
    async def running(self, text: str = BASE) -> AsyncIterator[Relay]:
        """A relay that is stopped by SIGTERM at the end; its books must balance throughout."""
        self.write(text)
        self.relay = Relay(load(str(self.directory / "relay.toml")), self.machine)
        self.signals, signals = trio.open_memory_channel[int](10)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:

                async def run(*, task_status: trio.TaskStatus[None]) -> None:
                    await serve(self.relay, signals, task_status=task_status)

                await nursery.start(run)
                yield self.relay
                self.check()
                self.signals.send_nowait(15)
        self.check()
        assert self.relay.phase == "stopped"
        signals.close()
        self.signals.close()

    async def reload(self, text: str) -> None:
        """SIGHUP with this file, and wait until it has been obeyed."""
        self.write(text)
        before = self.relay.reloads + self.relay.reloads_failed
        self.signals.send_nowait(1)
        await self.until(lambda: self.relay.reloads + self.relay.reloads_failed > before)
        self.check()

    async def until(self, condition: object) -> None:
        assert callable(condition)
        with trio.fail_after(15):
            while not condition():
                await trio.sleep(0.005)
                self.check()

    def check(self) -> None:
        assert self.relay.ledger.residual() == 0
        for pipe in self.relay.ledger.pipes.values():
            assert pipe.residual() == 0, pipe
        for listener in self.relay.ledger.listeners.values():
            assert listener.residual() == 0, listener

    def address(self, listener: str, place: int = 0) -> tuple[str, int]:
        endpoints = self.relay.listeners[listener].component.endpoints()
        sockets, _ = self.relay.bindings.bind(endpoints)
        host, _, port = sockets[place].address.rpartition(":")
        return host, int(port)

    def ring(self, name: str = "ring") -> list[bytes]:
        """The last word of each message in a memory destination."""
        ring = self.relay.rings.rings.get(name)
        return [line.rsplit(b" ", 1)[-1] for line in ring.lines] if ring else []


@pytest.fixture
def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Bench:
    caplog.set_level("INFO", "relay")
    return Bench(tmp_path)
