"""A receiver that is down for the whole of a load, then up: what waits on disk, and how it leaves.

The same load is sent before with the receiver up, by another process: what that does is the rate
that the drain is compared with, and the memory.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.child import Child
from tests.bench.cost import cpu_seconds, forget_memory_peak, memory_now, memory_peak
from tests.bench.load import Load
from tests.bench.messages import counted_octets
from tests.bench.program import Program, Running, running
from tests.bench.row import Show, Told
from tests.bench.run import START_SECONDS_MAX, Run, measure, seconds_max
from tests.bench.sink import Expected
from tests.scenarios.harness.books import Scraper
from tests.scenarios.harness.ports import free_port
from tests.scenarios.harness.waiting import until

BACKOFF_SECONDS_MAX = 75.0  # until a destination that was down for long is tried again


@dataclass(frozen=True, slots=True)
class Drain:
    """A load that waited on disk as a whole."""

    sent: int
    received: int
    filling_seconds: float  # until all is on disk
    seconds: float  # from the first octet at the sink to the last
    cpu_seconds: float  # in that time
    filling_memory_peak: int  # octets
    memory: int  # when all was on disk
    memory_peak: int  # while it was sent

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def rate(self) -> float:
        return self.received / self.seconds


def drain(program: Program, load: Load) -> Drain:
    """Send the load while nobody receives, and time how it leaves then."""
    with ExitStack() as stack:
        port = free_port()
        it = stack.enter_context(running(program, port))
        sending = _fill(it, load, stack)
        peak, memory, before = memory_peak(it.pid), memory_now(it.pid), cpu_seconds(it.pid)
        forget_memory_peak(it.pid)
        expected = Expected("tcp", counted_octets(load.messages), port=port)
        sink = stack.enter_context(Child("sink", json.dumps(dataclasses.asdict(expected))))
        sink.hear(START_SECONDS_MAX)
        arrived = sink.hear(seconds_max(load) + BACKOFF_SECONDS_MAX)
        return Drain(
            sent=load.messages,
            received=arrived["octets"] // counted_octets(1),
            filling_seconds=sending,
            seconds=arrived["last"] - arrived["first"],
            cpu_seconds=cpu_seconds(it.pid) - before,
            filling_memory_peak=peak,
            memory=memory,
            memory_peak=memory_peak(it.pid),
        )


def _fill(it: Running, load: Load, stack: ExitStack) -> float:
    """Until all of it is on disk; returns how many seconds the sending took."""
    what = json.dumps(dataclasses.asdict(load))
    generator = stack.enter_context(Child("generator", what, str(it.ports[load.port])))
    generator.hear(START_SECONDS_MAX)
    generator.say()
    sending = generator.hear(seconds_max(load))
    scraper = Scraper(it.ports["admin"])
    stack.callback(scraper.close)

    def is_on_disk() -> bool:
        pipe = scraper.ledger()["pipes"]["all"]
        return bool(pipe["received"] == load.messages and not pipe["at_risk"])

    until(is_on_disk, "all is on disk", seconds_max(load))
    return float(sending["ended"] - sending["started"])


@dataclass(frozen=True, slots=True)
class Backlog:
    name: str
    about: str
    load: Load
    relay: Program

    def steps(self, rounds: int) -> int:
        return 2 * rounds

    def part(self, divisor: int) -> "Backlog":
        return replace(self, load=self.load.part(divisor))

    def tell(self, rounds: int, show: Show) -> Told:
        pairs = []
        for number in range(1, rounds + 1):
            show(f"{self.name}, round {number}: without")
            live = measure(self.relay, self.load)
            show(f"{self.name}, round {number}: with")
            pairs.append((live, drain(self.relay, self.load)))
        title = f"{self.name}: {self.about.format(messages=self.load.messages)}"
        return Told([title, *_lines(pairs)], pairs)


def _lines(pairs: Sequence[tuple[Run, Drain]]) -> Iterator[str]:
    shares = [drained.rate / live.rate for live, drained in pairs]
    yield (
        f"  drained at {median(shares):.2f}  ({min(shares):.2f} to {max(shares):.2f})"
        " × the rate without backlog"
    )
    drains = [drained for _, drained in pairs]
    yield (
        f"  without {median(live.rate for live, _ in pairs):>10,.0f} messages/s"
        f" {median(live.cpu_us for live, _ in pairs):6.2f} µs of CPU each"
        f" {max(live.memory_peak for live, _ in pairs) / 2**20:6.1f} MiB peak,"
        f" lost {sum(live.lost for live, _ in pairs) or 'none'}"
    )
    yield (
        f"  drained {median(it.rate for it in drains):>10,.0f} messages/s"
        f" {median(it.cpu_seconds / it.received * 1e6 for it in drains):6.2f} µs of CPU each"
        f" {max(it.memory_peak for it in drains) / 2**20:6.1f} MiB peak,"
        f" lost {sum(it.lost for it in drains) or 'none'}"
    )
    yield (
        f"  filled  {median(it.sent / it.filling_seconds for it in drains):>10,.0f} messages/s,"
        f" {max(it.filling_memory_peak for it in drains) / 2**20:.1f} MiB peak,"
        f" {max(it.memory for it in drains) / 2**20:.1f} when all is on disk"
    )
