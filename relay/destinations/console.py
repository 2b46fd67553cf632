"""Messages to the console or another terminal, one line each."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from trio_typing import TaskStatus

from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Duration, Path
from relay.destinations.lines import LineSession, Manner, turn_at
from relay.destinations.session import Reached, plain
from relay.system.ports import Output, Touch

END = b"\r\n"  # where a program has switched off that the terminal returns to the left (ONLCR)


class ConsoleDestination(DestinationKeys):
    """The keys of a `console` destination."""

    type: Literal["console"]
    path: Path = "/dev/console"
    """The terminal to write to, such as `/dev/tty12` or `/dev/ttyS0`."""
    wait_max: Annotated[Duration, Field(ge=0.1, le=86400)] = 10.0
    """How long it may take nothing; then messages are dropped until it takes something again."""

    @property
    def opens(self) -> str:
        return self.path

    def touches(self) -> Sequence[Touch]:
        return (Touch("device", self.path),)

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        terminal = await self._open(outlet)
        try:
            reached = Reached(lease, task_status)
            reached.opened()
            manner = Manner(outlet.form(self.format), END, self.wait_max, pipe=False)
            session = LineSession(terminal, lease, outlet, manner, turn_at(self.path))
            await self._send_lent(session, lease, reached)
        except DestinationDown as down:
            raise DestinationDown(f"{self.path}: {down}") from down
        finally:
            await terminal.close()

    async def _send_lent(self, session: LineSession, lease: Lease, reached: Reached) -> None:
        batches = await lease.lend()
        while True:
            if await session.send(batches):
                reached.delivered()
                batches = await lease.lend()
            else:
                batches = await session.expire() or await lease.lend()

    async def _open(self, outlet: Outlet) -> Output:
        try:
            return await outlet.host.local.open_terminal(self.path)
        except OSError as fault:
            reason = plain(fault.strerror or str(fault))
            raise DestinationDown(f"{self.path}: {reason}") from fault
