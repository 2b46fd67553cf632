"""Syslog over UDP (RFC 5426): one datagram, one message."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from trio_typing import TaskStatus

from relay.core.intake import Intake
from relay.core.values import Listen, Size
from relay.listeners.datagrams import receive_datagrams
from relay.listeners.gate import Gate
from relay.listeners.network import NetworkKeys
from relay.system.ports import Endpoint, Socket


class UdpListener(NetworkKeys):
    """The keys of a `udp` listener."""

    type: Literal["udp"]
    listen: Annotated[tuple[Listen, ...], Field(min_length=1)]
    """Addresses to listen on; `*:514` is both families, `fd:NAME` an inherited socket."""
    receive_buffer: Annotated[Size, Field(ge=4096, le=1 << 30)] = 16 << 20
    """Octets the kernel should hold for us; it may grant less, which is said at start."""

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("udp", address, self.receive_buffer) for address in self.listen]

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        task_status.started()
        gate = Gate(intake, self.allowed, self.buckets())
        open_to_all = gate.allowed is None and gate.buckets is None
        await receive_datagrams(sockets, intake, gate=None if open_to_all else gate)  # type: ignore[arg-type]
