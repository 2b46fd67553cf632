"""What a measurement says, for people and as JSON."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from tests.bench.load import Load
from tests.bench.ratio import Spread, ratios
from tests.bench.run import Run

SHORT_OF_RATE = 0.98  # a paced generator below this share of its rate is pointed out


def comparison_lines(load: Load, rounds: Sequence[Mapping[str, Run]]) -> Iterator[str]:
    """Ratios to each peer, and the figures behind them; Relay is the first of each round."""
    relay, *peers = rounds[0]
    runs = {name: [each[name] for each in rounds] for name in rounds[0]}
    for peer in peers:
        rate = ratios(runs[relay], runs[peer], lambda run: run.rate)
        cpu = ratios(runs[relay], runs[peer], lambda run: run.cpu_us)
        yield f"  rate              {_spread(rate)} × {peer}"
        yield f"  CPU per message   {_spread(cpu)} × {peer}"
    for name, each in runs.items():
        yield (
            f"  {name:<{max(map(len, runs))}}"
            f" {median(run.rate for run in each):>10,.0f} messages/s"
            f" {median(run.cpu_us for run in each):>7.2f} µs of CPU each"
            f" {max(run.memory_peak for run in each) / 2**20:>6.1f} MiB peak,"
            f" waited {median(run.waiting_seconds / run.seconds for run in each):>3.0%},"
            f" lost {_lost(each)}"
        )
    yield from _warnings(load, [run for each in rounds for run in each.values()])


def direct_lines(runs: Mapping[Load, Sequence[Run]]) -> Iterator[str]:
    """What generators and sink do on their own."""
    for load, each in runs.items():
        pace = f"{load.rate:,}/s wanted" if load.rate else "flood"
        yield (
            f"  {load.transport} × {load.connections:<4}{pace:>18}:"
            f" offered {median(run.offered for run in each):>10,.0f}/s,"
            f" received {median(run.rate for run in each):>10,.0f}/s,"
            f" CPU {median(run.generator_cpu_seconds / run.sent * 1e6 for run in each):.2f} +"
            f" {median(run.sink_cpu_seconds / run.sent * 1e6 for run in each):.2f} µs each"
        )
        yield from _warnings(load, each)


def as_json(value: Any) -> Any:  # noqa: ANN401 - whatever json.dumps does not know
    """For `json.dumps(default=...)`: a run with its figures."""
    plain = dataclasses.asdict(value)
    figures = ("lost", "offered", "rate", "cpu_us")
    return plain | {it: getattr(value, it) for it in figures if hasattr(value, it)}


def _warnings(load: Load, runs: Sequence[Run]) -> Iterator[str]:
    if load.rate:
        slowest = min(run.offered for run in runs)
        if slowest < SHORT_OF_RATE * load.rate:
            yield f"  ! the generator reached only {slowest:,.0f} of {load.rate:,} messages/s"
    elif load.transport != "udp" and any(run.lost for run in runs):
        yield "  ! messages were lost on a path that must not lose any"


def _spread(spread: Spread) -> str:
    return f"{spread.median:5.2f}  ({spread.minimum:.2f} to {spread.maximum:.2f})"


def _lost(runs: Sequence[Run]) -> str:
    sent = sum(run.sent for run in runs)
    lost = sum(run.lost for run in runs)
    return f"{lost:,} of {sent:,}" if lost else "none"
