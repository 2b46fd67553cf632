"""Messages over a TCP connection."""

from typing import Literal

from trio_typing import TaskStatus

from relay.core.component import DestinationKeys
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Address
from relay.destinations.reach import reach
from relay.destinations.stream import run_session
from relay.wire.frames import OutFraming


class TcpDestination(DestinationKeys):
    """The keys of a `tcp` destination."""

    type: Literal["tcp"]
    address: Address
    """Where to connect; resolved again on every attempt, all addresses tried."""
    framing: OutFraming = "octet"
    """How messages are told apart on the stream (RFC 6587)."""
    confirm: Literal["sent"] = "sent"
    """When a message counts as delivered: `sent`, when our kernel took its last byte."""

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        network = outlet.host.network
        connection = await reach(network, self.address, "tcp", network.connect)
        task_status.started()
        await run_session(connection, lease, outlet.account, framing=self.framing, form=self.format)
