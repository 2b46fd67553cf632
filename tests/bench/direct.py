"""The row without a relay: what generators and sink do on their own, as proof that they suffice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.bench.load import Load
from tests.bench.report import direct_lines
from tests.bench.row import Show, Told
from tests.bench.run import Run, measure


@dataclass(frozen=True, slots=True)
class Direct:
    name: str
    about: str
    loads: Sequence[Load]

    def steps(self, rounds: int) -> int:
        return rounds * len(self.loads)

    def part(self, divisor: int) -> "Direct":
        return replace(self, loads=[load.part(divisor) for load in self.loads])

    def tell(self, rounds: int, show: Show) -> Told:
        runs: dict[Load, list[Run]] = {load: [] for load in self.loads}
        for number in range(1, rounds + 1):
            for load, measured in runs.items():
                show(f"{self.name}, round {number}: {load.transport}")
                measured.append(measure(None, load))
        lines = list(direct_lines(runs))
        every = [run for measured in runs.values() for run in measured]
        return Told([f"{self.name}: {self.about}", *lines], every)
