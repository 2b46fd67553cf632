"""Messages into a ring in memory, read over the admin server and `relay memory`."""

from typing import Annotated, Literal

from pydantic import Field
from trio_typing import TaskStatus

from relay.core.account import Confirmation
from relay.core.component import DestinationKeys
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Size
from relay.destinations.session import lend_formatted
from relay.wire.escape import escape_text


class MemoryDestination(DestinationKeys):
    """The keys of a `memory` destination."""

    type: Literal["memory"]
    size: Annotated[Size, Field(ge=32 << 10, le=1 << 30)] = 1 << 20
    """Octets kept, each message's overhead included; older messages are overwritten and counted."""

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        ring = outlet.rings.ring(outlet.destination, self.size)
        task_status.started()
        while True:
            messages = await lend_formatted(lease, outlet.form(self.format))
            ring.append(escape_text(messages))
            lease.settle(len(messages), Confirmation.STORED)
