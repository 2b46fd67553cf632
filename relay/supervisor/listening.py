"""One listener's life: bind, run, restart, and come to an end without losing a message."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio
from trio_typing import TaskStatus

from relay.core.channel import Channel
from relay.core.component import Listener
from relay.core.delivery import backoff
from relay.core.intake import Intake
from relay.supervisor.bindings import Bindings
from relay.supervisor.restart import supervise
from relay.system.ports import Socket

log = logging.getLogger("relay.supervisor")


@dataclass(slots=True, eq=False, repr=False)
class Listening:
    """A listener that runs, and the handles to end it."""

    name: str
    component: Listener
    intake: Intake
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    tried: trio.Event = field(default_factory=trio.Event)  # had its first try
    ended: trio.Event = field(default_factory=trio.Event)
    attempt: trio.CancelScope = field(default_factory=trio.CancelScope)

    def drain(self, by: float) -> None:
        """End by itself: what our kernel holds is read first, until `by` at the latest."""
        self.attempt.deadline = float("inf")  # the time to bind what is missing is over
        self.intake.drain_by[0] = min(by, self.intake.drain_by[0])
        self.intake.draining.set()

    def feeds(self, channel: Channel) -> bool:
        """Whether what it receives may go there."""
        fed = self.intake.router.routes.get(self.name, ())
        return any(pipe.channel is channel for pipe in fed)

    def hurry(self) -> None:
        self.intake.drain_by[0] = float("-inf")


async def listen(
    listening: Listening, bindings: Bindings, after: Sequence[trio.Event] = ()
) -> None:
    """Run a listener until it is drained or cancelled; sets `tried` after the first try to bind.

    Addresses that cannot be bound are tried again with back-off while the others receive. A
    listener that takes over from others waits until they are off the sockets (`after`).
    """
    try:
        with listening.scope:
            for ended in after:
                await ended.wait()
            await _listen(listening, bindings)
    finally:
        listening.tried.set()
        listening.ended.set()


async def drain_sockets(listening: Listening, sockets: list[Socket], after: trio.Event) -> None:
    """Read what is left in sockets that are no longer configured, and close them."""
    try:
        await after.wait()
        await _run(listening, sockets)
    finally:
        close_streams(listening.intake)
        for socket in sockets:
            socket.close()
        listening.ended.set()


def close_streams(intake: Intake) -> None:
    """Close the connections that a listener leaves behind; their unfinished frames are counted."""
    for handshake in list(intake.streams.handshakes.values()):
        intake.streams.finish(handshake)
        handshake.connection.close()
        intake.account.connections_open -= 1
    for stream in list(intake.streams.table.values()):
        intake.streams.remove(stream)
        stream.connection.close()
        intake.account.connections_open -= 1
        intake.account.frames.incomplete += 1


async def _listen(listening: Listening, bindings: Bindings) -> None:
    account = listening.intake.account
    pauses = backoff(random.Random())  # noqa: S311 - spreads attempts, guards nothing
    told = ""
    while True:
        await bindings.machine.prepare(listening.component.endpoints())
        sockets, faults = bindings.bind(listening.component.endpoints())
        account.bound = not faults
        if faults and (text := "; ".join(faults)) != told:
            log.error("listener %s cannot listen on %s", listening.name, text)
            told = text
        if told and not faults:
            log.info("listener %s listens on all its addresses", listening.name)
        if faults:
            listening.tried.set()
        pause = next(pauses) if faults else float("inf")
        with trio.CancelScope(deadline=trio.current_time() + pause) as listening.attempt:
            if listening.intake.draining.is_set():
                listening.attempt.deadline = float("inf")
            await _run(listening, list(sockets))
            return


async def _run(listening: Listening, sockets: list[Socket]) -> None:
    async def run() -> None:
        await listening.component.run(
            sockets, listening.intake, task_status=_Tried(listening.tried)
        )

    def failed() -> bool:
        listening.intake.account.restarts += 1
        listening.tried.set()
        return False

    await supervise(f"listener {listening.name}", run, failed, hurry=listening.intake.draining)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Tried(TaskStatus[None]):
    """A listener that receives has been tried; it may start as often as it likes."""

    tried: trio.Event

    def started(self, value: None = None) -> None:
        self.tried.set()
