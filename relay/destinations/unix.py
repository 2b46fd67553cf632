"""Messages to another program's unix socket."""

from typing import Literal

from trio_typing import TaskStatus

from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Path
from relay.destinations.datagram import send_datagrams
from relay.destinations.session import lend_formatted, plain
from relay.destinations.stream import UNIX, StreamSession
from relay.destinations.transit import Way
from relay.system.ports import Unreachable
from relay.wire.frames import OutFraming


class UnixDestination(DestinationKeys):
    """The keys of a `unix` destination."""

    type: Literal["unix"]
    path: Path
    """The socket to send to, such as `/run/systemd/journal/syslog`."""
    kind: Literal["datagram", "stream"] = "datagram"
    """The socket's type."""
    framing: OutFraming = "lf"
    """How messages are told apart on a stream."""

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        try:
            if self.kind == "stream":
                await self._run_stream(lease, outlet, task_status)
            else:
                await self._run_datagram(lease, outlet, task_status)
        except Unreachable as fault:
            reason = str(fault).removeprefix(f"{self.path}: ")
            raise DestinationDown(f"{self.path}: {plain(reason)}") from fault

    async def _run_stream(
        self, lease: Lease, outlet: Outlet, task_status: TaskStatus[None]
    ) -> None:
        connection = await outlet.host.network.connect_unix(self.path)
        task_status.started()
        way = Way(self.framing, outlet.form(self.format))
        await StreamSession(connection, lease, outlet, way, UNIX).run()

    async def _run_datagram(
        self, lease: Lease, outlet: Outlet, task_status: TaskStatus[None]
    ) -> None:
        sender = await outlet.host.network.connect_unix_datagram(self.path)
        try:
            task_status.started()
            while True:
                messages = await lend_formatted(lease, outlet.form(self.format))
                await send_datagrams(messages, sender, lease, outlet)
        finally:
            sender.close()
