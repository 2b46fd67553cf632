"""Run the simulation: one seed with its trace, or many with a summary.

python -m tests.simulation --seed 7            what happened in it, and its trace's checksum
python -m tests.simulation --seeds 1000        seeds 0 to 999
python -m tests.simulation --seconds 60 --from 5000
python -m tests.simulation --seed 7 --faults "kill -9" "the disk is full"
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Sequence

from tests.simulation.campaign import Summary, run_campaign
from tests.simulation.faults import FAULTS
from tests.simulation.story import Failed, run_seed

PROGRESS_SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--faults", nargs="+", default=(), choices=FAULTS, metavar="FAULT",
                        help=f"only these: {', '.join(FAULTS)}")  # fmt: skip
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return _replay(given.seed, given.faults)
    if given.seeds is None and given.seconds is None:
        parser.error("one of --seed, --seeds and --seconds is needed")
    return _run_many(given)


def _replay(seed: int, faults: Sequence[str]) -> int:
    lines: list[str] = []
    try:
        outcome = run_seed(seed, faults, lines)
    except Failed as failed:
        print(*lines, sep="\n")
        print(f"FAILED {failed}")
        return 1
    print(*lines, sep="\n")
    print(f"seed {seed}: {outcome.sent} messages, {outcome.steps} steps")
    for name, times in sorted(outcome.sometimes.items()):
        print(f"{times:6} {name}")
    print(f"trace {outcome.trace:08x}")
    return 0


def _run_many(given: argparse.Namespace) -> int:
    began = time.monotonic()
    told = [began]

    def progress(summary: Summary) -> None:
        now = time.monotonic()
        if now - told[0] >= PROGRESS_SECONDS:
            told[0] = now
            failed = len(summary.failures)
            print(f"{now - began:5.0f} s  {summary.seeds} seeds, {failed} failed", flush=True)

    seeds = itertools.count(given.first)
    summary = run_campaign(
        itertools.islice(seeds, given.seeds) if given.seeds is not None else seeds,
        faults=given.faults,
        jobs=given.jobs,
        until=began + given.seconds if given.seconds is not None else float("inf"),
        progress=progress,
    )
    _print(summary, time.monotonic() - began)
    return 1 if summary.failures else 0


def _print(summary: Summary, seconds: float) -> None:
    print("reached, in so many seeds:")
    for name, seeds in sorted(summary.sometimes.items()):
        print(f"{seeds:6} {name}")
    for failure in summary.failures:
        print(f"FAILED {failure}")
    print(
        f"{summary.seeds} seeds, {len(summary.failures)} failed, {summary.sent} messages, "
        f"{summary.steps} steps, {seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
