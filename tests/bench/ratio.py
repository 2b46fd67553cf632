"""Relay against rsyslog: the ratio of each pair of runs, and how far the pairs differ."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.run import Run


@dataclass(frozen=True, slots=True)
class Spread:
    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs of the same load, one right after the other."""

    relay: Run
    rsyslog: Run


def ratios(pairs: Sequence[Pair], figure: Callable[[Run], float]) -> Spread:
    """Relay's figure in units of rsyslog's, pair by pair: what disturbs both cancels out."""
    return Spread.of([figure(pair.relay) / figure(pair.rsyslog) for pair in pairs])
