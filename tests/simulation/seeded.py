"""Trio, bit for bit the same for the same seed: the order of tasks, the time, and no threads.

Trio's own switch for Hypothesis makes its scheduler shuffle with a generator that can be seeded. It
is private; `test_seeded.py` notices when it goes. Everything else that differs from run to run is
replaced here as well: threads, the jitter of pauses, the process's number, and its epochs.
"""

import gc
import os
import random
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest import mock

import trio
import trio.testing

from tests.simulation.threads import Threads
from tests.simulation.timeline import Timeline

T = TypeVar("T")

STEPS_MAX = 50_000  # of one run; a hundred times as many as most need
RECENT_STEPS = 1000
SECONDS_MAX = 100_000.0  # virtual ones
PROCESS_ID = 4711  # stands in Relay's own messages


@dataclass(slots=True, eq=False)
class Trace:
    """A running checksum of everything that happens; equal traces are equal runs."""

    value: int = 0
    steps: int = 0
    lines: list[str] | None = None  # kept only where somebody wants to read them

    def note(self, text: str) -> None:
        self.value = zlib.crc32(text.encode(), self.value)
        if self.lines is not None and trio.lowlevel.in_trio_run():
            self.lines.append(f"{trio.current_time():12.6f} {text}")

    def step(self, name: str) -> None:
        self.steps += 1
        self.value = zlib.crc32(name.encode(), self.value)


@dataclass(slots=True, eq=False)
class Steps(trio.abc.Instrument):
    """Traces every step of every task, and looks after each whether all is well.

    A failed look must not raise inside Trio, which would merely switch the instrument off.
    """

    trace: Trace
    look: Callable[[], None] = lambda: None
    fault: Exception | None = None
    on_fault: Callable[[], None] = lambda: None
    _recent: Counter[str] = field(default_factory=Counter)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.trace.step(task.name)
        if self.trace.steps > STEPS_MAX - RECENT_STEPS:
            self._recent[task.name] += 1
        if self.fault is None:
            try:
                assert self.trace.steps < STEPS_MAX, f"busy for ever: {self._recent.most_common(4)}"
                self.look()
            except AssertionError as fault:
                self.fail(fault)

    def fail(self, fault: Exception) -> None:
        """The run is over for this reason."""
        if self.fault is None:
            self.fault = fault
            self.on_fault()


@dataclass(slots=True, eq=False)
class Seeded:
    """What a run has at hand: its random numbers, its time, its trace."""

    seed: int
    trace: Trace = field(default_factory=Trace)
    timeline: Timeline = field(default_factory=Timeline)
    threads: Threads = field(init=False)
    steps: Steps = field(init=False)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.threads = Threads(self.timeline, random.Random(self.seed + 1))
        self.steps = Steps(self.trace)
        self.timeline.on_fault = self.steps.fail


def run_seeded(seeded: Seeded, main: Callable[[], Awaitable[T]]) -> T:
    """As `trio.run`, in virtual time; the same seed gives the same run."""

    async def with_timeline() -> T:
        # A system task: whoever is cancelled may still have to wait for a thread.
        trio.lowlevel.spawn_system_task(seeded.timeline.run)
        with trio.fail_after(SECONDS_MAX):  # where everybody waits, nobody would notice
            return await main()

    with _deterministic(seeded):
        clock = trio.testing.MockClock(autojump_threshold=0)
        instruments: Sequence[trio.abc.Instrument] = [seeded.steps]
        return trio.run(with_timeline, clock=clock, instruments=instruments)


@contextmanager
def _deterministic(seeded: Seeded) -> Iterator[None]:
    scheduler: Any = trio._core._run  # there is no public way
    jitter = random.Random(seeded.seed + 2)

    def uniform(_: random.Random, low: float, high: float) -> float:
        return low + (high - low) * jitter.random()

    collecting = gc.isenabled()
    gc.disable()  # what it finalises, and when, is nobody's choice
    try:
        with (
            mock.patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", new=True),
            mock.patch.object(random.Random, "uniform", uniform),
            mock.patch.object(trio.to_thread, "run_sync", seeded.threads.run_sync),
            mock.patch.object(os, "getpid", return_value=PROCESS_ID),
            mock.patch.object(os, "urandom", random.Random(seeded.seed + 3).randbytes),
        ):
            scheduler._r.seed(seeded.seed)
            yield
    finally:
        if collecting:
            gc.enable()
