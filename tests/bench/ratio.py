"""Relay against a peer: the ratio of each pair of runs, and how far the pairs differ."""

import math
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


def ratios(relay: Sequence[Run], peer: Sequence[Run], figure: Callable[[Run], float]) -> Spread:
    """Relay's figure in units of the peer's, round by round: what disturbs both cancels out."""
    return Spread.of(
        [_ratio(figure(ours), figure(theirs)) for ours, theirs in zip(relay, peer, strict=True)]
    )


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else math.inf  # a short run may cost too little to be seen
