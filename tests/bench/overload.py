"""How much of what comes as datagrams is lost, by how much comes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.bench.load import Load
from tests.bench.program import Program
from tests.bench.ratio import Spread
from tests.bench.row import Show, Told
from tests.bench.run import Run, measure

SECONDS = 3  # of each run


@dataclass(frozen=True, slots=True)
class Overload:
    """Each program at each rate in turn; a run is told beside the rate that was wanted."""

    name: str
    about: str
    load: Load  # but for its rate, and the number of messages
    rates: Sequence[int]
    programs: Sequence[Program]
    divisor: int = 1

    def steps(self, rounds: int) -> int:
        return rounds * len(self.rates) * len(self.programs)

    def part(self, divisor: int) -> "Overload":
        return replace(self, divisor=divisor)

    def tell(self, rounds: int, show: Show) -> Told:
        found = []
        for number in range(1, rounds + 1):
            for rate in self.rates:
                load = replace(self.load, rate=rate, messages=SECONDS * rate // self.divisor)
                runs = {}
                for program in self.programs:
                    show(f"{self.name}, round {number}: {program.name} at {rate:,}/s")
                    runs[program.name] = measure(program, load)
                found.append(runs)
        return Told([f"{self.name}: {self.about}", *_lines(losses(found, self.rates))], found)


def losses(
    runs: Sequence[Mapping[str, Run]], rates: Sequence[int]
) -> Mapping[str, Mapping[int, Spread]]:
    """By program and rate: the share that was lost. The rates come in their order, and again."""
    return {
        program: {
            rate: Spread.of([it[program].lost / it[program].sent for it in runs[at :: len(rates)]])
            for at, rate in enumerate(rates)
        }
        for program in runs[0]
    }


def _lines(shares: Mapping[str, Mapping[int, Spread]]) -> Iterator[str]:
    for program, by_rate in shares.items():
        for rate, share in by_rate.items():
            yield (
                f"  {program:<10} {rate:>8,}/s: lost {share.median:6.1%}"
                f"  ({share.minimum:.1%} to {share.maximum:.1%})"
            )
