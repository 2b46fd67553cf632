"""How long Relay takes until it is ready, and what it costs when nothing comes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.cost import cpu_seconds, memory_now
from tests.bench.program import Program
from tests.bench.row import Show, Told
from tests.scenarios.harness.process import RelayProcess

IDLE_SECONDS = 3.0  # long enough for what is imported after the listeners are bound


@dataclass(frozen=True, slots=True)
class Started:
    ready_seconds: float  # from the start of the process to READY=1
    memory: int  # octets resident, after a while without messages
    idle_cpu: float  # share of a processor in that while, once the admin server answers


def started(program: Program) -> Started:
    with TemporaryDirectory(prefix="relay-bench-") as name:
        relay = RelayProcess(Path(name), program.template.read_text())
        began = time.monotonic()
        try:
            relay.start()
            ready_seconds = time.monotonic() - began
            relay.metrics()
            before = cpu_seconds(relay.pid)
            time.sleep(IDLE_SECONDS)
            cpu = cpu_seconds(relay.pid) - before
            return Started(ready_seconds, memory_now(relay.pid), cpu / IDLE_SECONDS)
        finally:
            if relay.running:
                relay.kill()
            relay.release()


@dataclass(frozen=True, slots=True)
class Start:
    name: str
    about: str
    relay: Program

    def steps(self, rounds: int) -> int:
        return rounds

    def part(self, _divisor: int) -> "Start":
        return self

    def tell(self, rounds: int, show: Show) -> Told:
        runs = []
        for number in range(1, rounds + 1):
            show(f"{self.name}, round {number}: {self.relay.name}")
            runs.append(started(self.relay))
        return Told([f"{self.name}: {self.about}", *_lines(runs)], runs)


def _lines(runs: Sequence[Started]) -> Sequence[str]:
    seconds = [run.ready_seconds for run in runs]
    memory = [run.memory / 2**20 for run in runs]
    cpu = [run.idle_cpu for run in runs]
    return [
        f"  ready after {median(seconds):.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})",
        f"  idle memory {median(memory):.1f} MiB  ({min(memory):.1f} to {max(memory):.1f})",
        f"  idle CPU    {median(cpu):.1%} of a processor",
    ]
