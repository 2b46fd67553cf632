"""Threads without threads: what is handed to one happens a little later, in one piece.

As with real ones, nobody hears of the result of an abandoned call, and it happens all the same.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import outcome
import trio

from tests.simulation.timeline import Timeline

T = TypeVar("T")

HOP_SECONDS = 0.0002


@dataclass(slots=True, eq=False)
class Threads:
    """Invariant: a thread that has not returned when its process was killed never does anything."""

    timeline: Timeline
    chance: random.Random
    slow_seconds: float = 0.0  # a disk or a resolver that takes its time: up to so much longer
    process: object = None  # whose threads begin now
    killed: set[object] = field(default_factory=set)

    async def run_sync(
        self,
        function: Callable[..., T],
        *args: object,
        abandon_on_cancel: bool = False,
        limiter: trio.CapacityLimiter | None = None,
    ) -> T:
        """As `trio.to_thread.run_sync`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        thread = object()
        if limiter is not None:
            await limiter.acquire_on_behalf_of(thread)
        task = trio.lowlevel.current_task()
        waiting = [True]
        process = self.process

        def abort(_: object) -> trio.lowlevel.Abort:
            if not abandon_on_cancel:
                return trio.lowlevel.Abort.FAILED
            waiting[0] = False
            return trio.lowlevel.Abort.SUCCEEDED

        def work() -> None:
            dead = process in self.killed
            result: outcome.Outcome[Any] = (
                outcome.Error(OSError("the process was killed"))
                if dead
                else outcome.capture(function, *args)
            )
            if limiter is not None:
                limiter.release_on_behalf_of(thread)
            if waiting[0]:
                trio.lowlevel.reschedule(task, result)

        self.timeline.after(HOP_SECONDS + self.slow_seconds * self.chance.random(), work)
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result
