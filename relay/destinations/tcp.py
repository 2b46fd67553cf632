"""Messages over TCP connections."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from trio_typing import TaskStatus

from relay.core.account import Confirmation
from relay.core.backlog import SpoolMode
from relay.core.component import DestinationKeys
from relay.core.lease import WINDOW_OCTETS, Lease
from relay.core.outlet import Outlet
from relay.core.tls import DestinationTls
from relay.core.values import Address, Duration, Size
from relay.destinations.epoch import EpochSession, Limits
from relay.destinations.secure import Dial
from relay.destinations.stream import StreamSession, Terms
from relay.destinations.transit import Way
from relay.system.ports import Connection
from relay.wire.frames import OutFraming


class TcpDestination(DestinationKeys):
    """The keys of a `tcp` destination."""

    type: Literal["tcp"]
    address: Address
    """Where to connect; resolved again on every attempt, all addresses tried."""
    framing: OutFraming = "octet"
    """How messages are told apart on the stream (RFC 6587)."""
    confirm: Literal["sent", "acked", "epoch"] = "acked"
    """When a message is delivered: our kernel took it, the peer's has it, the peer has read it."""
    replay: Annotated[Size, Field(le=16 << 20)] = 256 << 10
    """With `acked`: so much of what was delivered last is sent again after an unclean break."""
    epoch_bytes: Annotated[Size, Field(ge=1 << 10, le=WINDOW_OCTETS)] = 1 << 20
    """With `epoch`: after so much a connection is ended, which lets the peer confirm it."""
    epoch_max: Annotated[Duration, Field(ge=0.1, le=3600)] = 5.0
    """With `epoch`: how long after its first message a connection is ended."""
    half_close: bool = False
    """Go on sending to a peer that has ended its side, as some do at once."""
    dead_after: Annotated[Duration, Field(ge=1, le=3600)] = 30.0
    """For how long the peer's kernel must leave ours without an answer to be dead."""
    window: Annotated[Size, Field(ge=4 << 10, le=WINDOW_OCTETS)] = WINDOW_OCTETS
    """How much may be on its way unconfirmed."""
    tls: DestinationTls | None = None
    """Speak TLS; absent: in the clear."""

    @field_validator("half_close")
    @classmethod
    def _half_close_confirms_nothing(cls, half_close: bool, keys: ValidationInfo) -> bool:
        if half_close and keys.data.get("confirm") == "epoch":
            raise ValueError("a peer that ends before us cannot confirm an epoch")
        return half_close

    @property
    def spool(self) -> SpoolMode:
        return "always"

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        # An epoch is confirmed by its end, so there is no verdict to wait for.
        dial = Dial(self.address, self.tls, verdict=self.confirm != "epoch")
        connection = await dial.connection(outlet)
        task_status.started()
        way = Way(self.framing, outlet.form(self.format), self.half_close, self.dead_after)
        if self.confirm == "epoch":
            await self._run_epochs(dial, connection, lease, outlet, way)
        else:
            await StreamSession(connection, lease, outlet, way, self._terms()).run()

    async def _run_epochs(
        self, dial: Dial, connection: Connection, lease: Lease, outlet: Outlet, way: Way
    ) -> None:
        limits = Limits(min(self.epoch_bytes, self.window), self.epoch_max)
        while True:
            await EpochSession(connection, lease, outlet, way, limits).run()
            connection = await dial.connection(outlet)

    def _terms(self) -> Terms:
        if self.confirm == "sent":
            return Terms(Confirmation.SENT)
        return Terms(Confirmation.ACKED, self.replay, self.window)
