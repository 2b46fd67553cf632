"""Syslog over RELP: a sender hears yes when every pipe that keeps has its message secured."""

from collections.abc import Sequence
from typing import Annotated, Literal

import trio
from pydantic import Field, ValidationInfo, field_validator
from trio_typing import TaskStatus

from relay.core.intake import Intake
from relay.core.values import Duration, Listen, Size
from relay.listeners.acceptance import Acceptance
from relay.listeners.answering import AnsweringReader, Conversation, answer_paid, answer_slow
from relay.listeners.connections import PeerKeys
from relay.listeners.pause import Pause
from relay.listeners.streams import QUIET_SECONDS, accepting, receive
from relay.system.ports import Endpoint, Socket
from relay.wire.framing import FramingCounts
from relay.wire.relp.server import ServerSession

# Shorter than over TCP: a sender whose window is full waits for us. 64 messages are half of
# librelp's window.
PAUSE_SECONDS_MAX = 0.001
FULL_MESSAGES = 64


class RelpListener(PeerKeys):
    """The keys of a `relp` listener."""

    type: Literal["relp"]
    listen: Annotated[tuple[Listen, ...], Field(min_length=1)]
    """Addresses to listen on; `*:2514` is both families, `fd:NAME` an inherited socket."""
    window: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 8192
    """Messages of one connection that may wait for their answers; then it is not read."""
    frame_max: Annotated[Size, Field(le=999_999_999)] | None = None
    """Largest frame that is taken; default 16 × `message_max`. A larger one ends its session."""
    buffer_max: Annotated[Size, Field(ge=1 << 20)] = 64 << 20
    """Octets of unfinished frames held for all connections; beyond, the largest are closed."""
    first_byte_max: Duration = 60.0
    """Close a connection that has said nothing for this long since it was made; 0: never."""

    @field_validator("frame_max")
    @classmethod
    def _check_frame_max(cls, frame_max: int | None, info: ValidationInfo) -> int | None:
        message_max = info.data.get("message_max", 0)  # absent when it is wrong itself
        if frame_max is not None and frame_max < message_max:
            raise ValueError(f"{frame_max} is less than message_max, which is {message_max}")
        return frame_max

    @property
    def acknowledges(self) -> bool:
        return True

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("tcp", address) for address in self.listen]

    def conversation(self, counts: FramingCounts) -> Conversation:
        """For one connection."""
        frame_max = self.frame_max or 16 * self.message_max
        return Conversation(ServerSession(self.message_max, frame_max, counts), self.window)

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        limits = self.peer_limits(self.buffer_max)
        network = intake.host.network
        ready_set, sending_set = network.ready_set(), network.ready_set()
        try:
            reader = AnsweringReader(intake, limits, ready_set, sending_set)
            async with accepting(
                reader,
                limits,
                sockets,  # type: ignore[arg-type]
                lambda: self.conversation(intake.account.frames),
            ) as acceptance:
                task_status.started()
                await _receive(reader, acceptance)
        finally:
            ready_set.close()
            sending_set.close()


async def _receive(reader: AnsweringReader, acceptance: Acceptance) -> None:
    """Receive until the stop, and answer until every connection is closed."""
    async with trio.open_nursery() as answering:
        answering.start_soon(answer_paid, reader)
        answering.start_soon(answer_slow, reader)
        async with trio.open_nursery() as receiving:
            pause = Pause(PAUSE_SECONDS_MAX, FULL_MESSAGES)
            receiving.start_soon(receive, reader, acceptance, pause)
            await reader.intake.draining.wait()
            receiving.cancel_scope.cancel()
        await _drain(reader, acceptance)
        reader.tell()
        answering.cancel_scope.cancel()


async def _drain(reader: AnsweringReader, acceptance: Acceptance) -> None:
    """The stop: nothing more is taken, what was taken is answered, and each connection closed.

    Whatever has no answer at `drain_by`, and what was never read, is still the senders'.
    """
    intake = reader.intake
    streams, table = intake.streams, intake.streams.table
    clock = intake.host.clock
    reader.stop_pacing()
    while not acceptance.finished() or streams.connections:
        late = clock.now() >= intake.drain_by[0]
        acceptance.end_unproved(QUIET_SECONDS, late=late)
        if late:
            reader.close_all()
            return
        for stream in list(table.values()):
            if stream.ended_at is None:
                reader.end(stream, clock.now())
        reader.turn(acceptance, linger=QUIET_SECONDS)
        with reader.until(clock.now() + QUIET_SECONDS / 4):
            await reader.wait()
        await trio.lowlevel.checkpoint()
