"""How long a message takes from its sender to the sink, at a rate that nobody is pressed by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.load import Load
from tests.bench.program import Program
from tests.bench.row import Show, Told
from tests.bench.run import Run, measure
from tests.bench.trail import PERCENTILES


@dataclass(frozen=True, slots=True)
class Latency:
    name: str
    about: str
    load: Load
    relay: Program
    peers: Sequence[Program] = ()

    def steps(self, rounds: int) -> int:
        return rounds * (1 + len(self.peers))

    def part(self, divisor: int) -> "Latency":
        return replace(self, load=self.load.part(divisor))

    def tell(self, rounds: int, show: Show) -> Told:
        programs = (self.relay, *self.peers)
        runs: dict[str, list[Run]] = {program.name: [] for program in programs}
        for number in range(1, rounds + 1):
            for program in programs:
                show(f"{self.name}, round {number}: {program.name}")
                runs[program.name].append(measure(program, self.load))
        lines = [line for name, measured in runs.items() for line in _lines(name, measured)]
        every = [run for measured in runs.values() for run in measured]
        return Told([f"{self.name}: {self.about}", *lines], every)


def _lines(name: str, runs: Sequence[Run]) -> Iterator[str]:
    for place, percent in enumerate(PERCENTILES):
        each = [run.latencies_ms[place] for run in runs]
        what = "largest" if percent == 100 else f"{percent:g}th percentile"
        yield (f"  {name}: {what:<17} {median(each):7.2f} ms  ({min(each):.2f} to {max(each):.2f})")
    lost = sum(run.lost for run in runs)
    offered = median(run.offered for run in runs)
    cost = median(run.cpu_us for run in runs)
    yield f"  {name}: offered {offered:,.0f} messages/s, {cost:.2f} µs each, lost {lost or 'none'}"
