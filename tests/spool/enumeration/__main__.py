"""Open every state that a crash may leave in each history.

python -m tests.spool.enumeration                  all histories
python -m tests.spool.enumeration --history groups one of them
python -m tests.spool.enumeration --bugs           with each planted bug, up to the first breach
"""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.spool.enumeration.bugs import BUGS
from tests.spool.enumeration.campaign import Campaign, Summary
from tests.spool.enumeration.histories import HISTORIES

PROGRESS_STATES = 10_000


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.spool.enumeration")
    parser.add_argument("--history", action="append", choices=[it.name for it in HISTORIES])
    parser.add_argument("--bugs", action="store_true")
    given = parser.parse_args(arguments)
    if given.bugs:
        return _search_bugs()
    began = time.monotonic()

    def progress(summary: Summary) -> None:
        if summary.states % PROGRESS_STATES == 0:
            print(f"{time.monotonic() - began:5.0f} s  {summary.states} states, "
                  f"{summary.breaches} breaches", flush=True)  # fmt: skip

    chosen = [it for it in HISTORIES if not given.history or it.name in given.history]
    summary = Campaign(progress=progress).run(chosen)
    for name, states in summary.by_history.items():
        print(f"{states:8} {name}")
    print("reached:")
    for name, times in sorted(summary.sometimes.items()):
        print(f"{times:8} {name}")
    for breach in summary.told:
        print(f"BREACH {breach}")
    print(f"{summary.states} states, {summary.checks} checks, {summary.breaches} breaches, "
          f"{time.monotonic() - began:.1f} s")  # fmt: skip
    return 1 if summary.breaches else 0


def _search_bugs() -> int:
    missed = 0
    for bug in BUGS:
        summary = bug.search()
        missed += not summary.breaches
        print(f"{'found' if summary.breaches else 'MISSED'} in {summary.states} states: {bug.name}")
    print(f"{len(BUGS) - missed} of {len(BUGS)} planted bugs found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
