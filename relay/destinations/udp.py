"""Messages as UDP datagrams (RFC 5426)."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, NoReturn

import trio
from pydantic import Field
from trio_typing import TaskStatus

from relay.core.account import PipeAccount
from relay.core.backlog import SpoolMode
from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import DatagramAddress, Duration, Size
from relay.destinations.datagram import send_datagrams
from relay.destinations.reach import reach
from relay.destinations.session import Reached, lend_formatted, work_watched
from relay.system.ports import DatagramSender

log = logging.getLogger("relay.destinations.udp")


class UdpDestination(DestinationKeys):
    """The keys of a `udp` destination."""

    type: Literal["udp"]
    address: DatagramAddress
    """Where to send."""
    datagram_max: Annotated[Size, Field(ge=480, le=65507)] = 1180
    """Longest datagram; longer messages are cut, delivered and counted. 1180 fits IPv6's 1280."""
    resolve_every: Annotated[Duration, Field(ge=1)] = 60.0
    """How long a resolved address is used before the name is looked up again."""

    @property
    def spool(self) -> SpoolMode:
        return "overflow"

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        line = _Line(await self._connect(outlet), outlet.account)
        try:
            reached = Reached(lease, task_status)
            reached.opened()
            await work_watched(
                partial(self._send_lent, line, lease, outlet, reached),
                partial(self._keep_fresh, line, outlet),
            )
        finally:
            line.close()

    async def _send_lent(
        self, line: "_Line", lease: Lease, outlet: Outlet, reached: Reached
    ) -> NoReturn:
        while True:
            messages = await lend_formatted(lease, outlet.form(self.format))
            await send_datagrams(messages, line, lease, outlet, datagram_max=self.datagram_max)
            reached.delivered()

    async def _keep_fresh(self, line: "_Line", outlet: Outlet) -> NoReturn:
        """Look the name up from time to time, beside the sending: a resolver may hang.

        While it has no answer, the address that it gave last is used.
        """
        told = ""
        while True:
            await trio.sleep(self.resolve_every)
            try:
                line.renew(await self._connect(outlet))
                told = ""
            except DestinationDown as down:
                if str(down) != told:
                    told = str(down)
                    log.warning("udp %s; its last address stays in use", down)

    async def _connect(self, outlet: Outlet) -> DatagramSender:
        return await reach(outlet, self.address, "udp", outlet.host.network.connect_datagram)


@dataclass(slots=True, eq=False, repr=False)
class _Line:
    """A sender that can be renewed while it is used.

    Invariant: only the sending task changes or closes `sender`, so nobody waits on a closed one.
    """

    sender: DatagramSender
    account: PipeAccount
    fresh: DatagramSender | None = None

    def send(self, message: bytes) -> bool:
        """As the port says, but repeated once when an ICMP error answered an earlier datagram."""
        if self.fresh:
            self.sender.close()
            self.sender, self.fresh = self.fresh, None
        try:
            return self.sender.send(message)
        except ConnectionRefusedError:
            self.account.network_errors += 1
        try:
            return self.sender.send(message)
        except ConnectionRefusedError:
            self.account.network_errors += 1
            raise

    async def writable(self) -> None:
        await self.sender.writable()

    def renew(self, sender: DatagramSender) -> None:
        """From the next datagram on, use this one."""
        if self.fresh:
            self.fresh.close()
        self.fresh = sender

    def close(self) -> None:
        if self.fresh:
            self.fresh.close()
        self.sender.close()
