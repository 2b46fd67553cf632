"""Terminals, named pipes, programs and logins of this machine."""

from collections.abc import Sequence

import trio

from relay.system import output
from relay.system.children import OwnChild, Start
from relay.system.hops import Hops
from relay.system.logins import logins
from relay.system.output import DescriptorOutput
from relay.system.ports import Login
from relay.system.program import SystemProgram


class SystemLocal:
    """The limiter bounds the hops that run or hang; one pipe's alone.

    `start_child` starts programs where this process may not.
    """

    def __init__(self, limiter: trio.CapacityLimiter, start_child: Start = OwnChild.start) -> None:
        self._hops = Hops(limiter)
        self._start_child = start_child

    async def open_terminal(self, path: str) -> DescriptorOutput:
        return DescriptorOutput(await self._hops.run(output.open_terminal, path), self._hops)

    async def open_fifo(self, path: str, *, mode: int | None) -> DescriptorOutput:
        return DescriptorOutput(await self._hops.run(output.open_fifo, path, mode), self._hops)

    async def start(self, command: Sequence[str]) -> SystemProgram:
        return await SystemProgram.start(command, self._hops, self._start_child)

    async def logins(self) -> Sequence[Login]:
        return await self._hops.run(logins)

    def abandon(self) -> None:
        """As `SystemDisk.abandon`."""
        self._hops.abandon()
