"""Syslog over TCP (RFC 6587), octet counted or ended by LF, CRLF or NUL."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from trio_typing import TaskStatus

from relay.core.intake import Intake
from relay.core.values import Listen, Size
from relay.listeners.connections import ConnectionKeys, PeerKeys
from relay.listeners.limits import Limits
from relay.listeners.streams import receive_streams
from relay.system.ports import Endpoint, Socket
from relay.wire.framing import Framer, Framing, FramingCounts


class StreamKeys(ConnectionKeys):
    """The keys of every listener on a stream."""

    framing: Framing = "auto"
    """How senders tell messages apart; `auto` finds it out for each message."""
    frame_max: Annotated[Size, Field(le=1 << 30)] | None = None
    """Largest octet count that is believed; default 16 × `message_max`."""
    buffer_max: Annotated[Size, Field(ge=1 << 20)] = 64 << 20
    """Octets of unfinished messages held for all connections; beyond, the largest are cut."""

    @field_validator("frame_max")
    @classmethod
    def _check_frame_max(cls, frame_max: int | None, info: ValidationInfo) -> int | None:
        message_max = info.data.get("message_max", 0)  # absent when it is wrong itself
        if frame_max is not None and frame_max < message_max:
            raise ValueError(f"{frame_max} is less than message_max, which is {message_max}")
        return frame_max

    def limits(self) -> Limits:
        return Limits(self.buffer_max, self.connections_max, self.deadlines())

    def framer(self, counts: FramingCounts) -> Framer:
        """For one connection."""
        frame_max = self.frame_max or 16 * self.message_max
        return Framer(self.framing, self.message_max, frame_max, counts)


class TcpListener(StreamKeys, PeerKeys):
    """The keys of a `tcp` listener."""

    type: Literal["tcp"]
    listen: Annotated[tuple[Listen, ...], Field(min_length=1)]
    """Addresses to listen on; `*:514` is both families, `fd:NAME` an inherited socket."""

    def limits(self) -> Limits:
        return self.peer_limits(self.buffer_max)

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("tcp", address) for address in self.listen]

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        await receive_streams(
            sockets,  # type: ignore[arg-type]
            intake,
            self.limits(),
            partial(self.framer, intake.account.frames),
            task_status=task_status,
        )
