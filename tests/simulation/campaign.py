"""Many seeds, on all processors, with what they have reached together."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.story import Failed, Outcome, run_seed


@dataclass(slots=True)
class Summary:
    """Of a campaign."""

    seeds: int = 0
    sent: int = 0
    steps: int = 0
    failures: list[str] = field(default_factory=list)
    sometimes: Counter[str] = field(default_factory=Counter)  # and in how many seeds

    def add(self, outcome: Outcome | str) -> None:
        self.seeds += 1
        if isinstance(outcome, str):
            self.failures.append(outcome)
            return
        self.sent += outcome.sent
        self.steps += outcome.steps
        self.sometimes.update(name for name, times in outcome.sometimes.items() if times)


def run_campaign(
    seeds: Iterable[int],
    *,
    faults: Sequence[str] = (),
    jobs: int = 1,
    until: float = float("inf"),
    progress: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Run these seeds, or as many of them as begin before `until` (`time.monotonic`)."""
    summary = Summary()
    one = partial(_outcome, faults=faults)
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for outcome in pool.imap(one, _before(until, seeds), chunksize=4):
            summary.add(outcome)
            progress(summary)
    return summary


def _before(until: float, seeds: Iterable[int]) -> Iterable[int]:
    for seed in seeds:
        if time.monotonic() >= until:
            return
        yield seed


def _outcome(seed: int, faults: Sequence[str]) -> Outcome | str:
    try:
        return run_seed(seed, faults)
    except Failed as failed:
        return str(failed)
