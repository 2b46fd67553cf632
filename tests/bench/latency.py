"""How long a message takes from its sender to the sink, at a rate that nobody is pressed by."""

from dataclasses import dataclass, replace
from statistics import median

from tests.bench.load import Load
from tests.bench.program import Program
from tests.bench.row import Show, Told
from tests.bench.run import measure
from tests.bench.trail import PERCENTILES


@dataclass(frozen=True, slots=True)
class Latency:
    name: str
    about: str
    load: Load
    relay: Program

    def steps(self, rounds: int) -> int:
        return rounds

    def part(self, divisor: int) -> "Latency":
        return replace(self, load=self.load.part(divisor))

    def tell(self, rounds: int, show: Show) -> Told:
        runs = []
        for number in range(1, rounds + 1):
            show(f"{self.name}, round {number}: {self.relay.name}")
            runs.append(measure(self.relay, self.load))
        lines = [f"{self.name}: {self.about}"]
        for place, percent in enumerate(PERCENTILES):
            each = [run.latencies_ms[place] for run in runs]
            what = "largest" if percent == 100 else f"{percent:g}th percentile"
            lines.append(
                f"  {what:<17} {median(each):7.2f} ms  ({min(each):.2f} to {max(each):.2f})"
            )
        lost = sum(run.lost for run in runs)
        rates = [run.offered for run in runs]
        lines.append(f"  offered {median(rates):,.0f} messages/s, lost {lost or 'none'}")
        return Told(lines, runs)
