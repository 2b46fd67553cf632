"""A row that compares: the same load through Relay and through its peers, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.bench.load import Load
from tests.bench.program import RELAY, RSYSLOG, Program
from tests.bench.report import comparison_lines
from tests.bench.row import Show, Told
from tests.bench.run import Run, measure


@dataclass(frozen=True, slots=True)
class Peer:
    program: Program
    divisor: int = 1  # it gets so much less to do, as it takes so much longer


@dataclass(frozen=True, slots=True)
class Comparison:
    name: str
    about: str
    load: Load
    relay: Program = RELAY
    peers: Sequence[Peer] = (Peer(RSYSLOG),)

    def steps(self, rounds: int) -> int:
        return rounds * (1 + len(self.peers))

    def part(self, divisor: int) -> "Comparison":
        return replace(self, load=self.load.part(divisor))

    def tell(self, rounds: int, show: Show) -> Told:
        found: list[Mapping[str, Run]] = []
        for number in range(1, rounds + 1):
            runs = {}
            for peer in (Peer(self.relay), *self.peers):
                show(f"{self.name}, round {number}: {peer.program.name}")
                runs[peer.program.name] = measure(peer.program, self.load.part(peer.divisor))
            found.append(runs)
        lines = list(comparison_lines(self.load, found))
        return Told([f"{self.name}: {self.about}", *lines], found)
