"""Messages into a named pipe that another program reads, one line each."""

import errno
import os
from collections.abc import Sequence
from functools import partial
from typing import Literal, NoReturn

from trio_typing import TaskStatus

from relay.core.component import DestinationKeys
from relay.core.errors import DestinationAway, DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Mode, Path
from relay.destinations.lines import LineSession, Manner, turn_at
from relay.destinations.session import plain, work_watched
from relay.system.ports import Output, Touch


class FifoDestination(DestinationKeys):
    """The keys of a `fifo` destination."""

    type: Literal["fifo"]
    path: Path
    """The named pipe, see fifo(7)."""
    mode: Mode | None = None
    """Permissions with which one that is missing is made; default: none is made."""

    @property
    def opens(self) -> str:
        return self.path

    def touches(self) -> Sequence[Touch]:
        # Of its directory: its reader may make it anew.
        directory = os.path.dirname(os.path.abspath(self.path))
        return (Touch("device" if self.mode is None else "write", directory),)

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        pipe = await self._open(outlet)
        manner = Manner(outlet.form(self.format))
        session = LineSession(pipe, lease, outlet, manner, turn_at(self.path))
        try:
            task_status.started()
            await work_watched(partial(self._send_lent, session, lease), session.follow)
        except DestinationDown as down:
            session.look()
            again = f", {session.unread} messages come again" if session.unread else ""
            raise DestinationAway(f"{self.path}: its reader has gone{again}") from down
        finally:
            await session.read_out()
            session.leave()
            await pipe.close()

    async def _send_lent(self, session: LineSession, lease: Lease) -> NoReturn:
        while True:
            await session.send(await lease.lend())

    async def _open(self, outlet: Outlet) -> Output:
        try:
            return await outlet.host.local.open_fifo(self.path, mode=self.mode)
        except OSError as fault:
            if fault.errno == errno.ENXIO:
                raise DestinationAway(f"{self.path}: nobody reads it") from fault
            reason = plain(fault.strerror or str(fault))
            raise DestinationDown(f"{self.path}: {reason}") from fault
