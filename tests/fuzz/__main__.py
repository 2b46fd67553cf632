"""Coverage-guided fuzzing of everything that strangers' octets reach.

python -m tests.fuzz --target framing --seconds 600   one target; or several
python -m tests.fuzz --all --seconds 60                every target for so long
python -m tests.fuzz --all --fresh --runs 1000         the same inputs each time
python -m tests.fuzz --reproduce FILE                  a finding again, without the fuzzer
python -m tests.fuzz --all --minimise                  the least that reaches all that is known

What is learned is kept in build/fuzz, where the next run goes on; findings are in
build/fuzz/findings/TARGET. `--minimise` puts the inputs into the corpus that reach what its own do
not: look at them before committing.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.fuzz.engine import fuzz, instrumented

DIRECTORY = Path("build/fuzz")


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.reproduce:
        return _reproduce(given.reproduce)
    if given.minimise:
        return _minimise(given.target)
    try:
        instrumenting = instrumented()
        instrumenting.__enter__()
    except ImportError:
        parser.exit(2, "atheris is not installed: pip install -e '.[fuzz]'\n")
    from tests.fuzz.bugs import BUGS
    from tests.fuzz.table import TARGETS

    instrumenting.__exit__(None, None, None)
    names = list(TARGETS) if given.all else given.target
    if not names or not set(names) <= TARGETS.keys():
        parser.error(f"give --all, or --target of: {', '.join(TARGETS)}")
    found = 0
    with ExitStack() as stack:
        directory = DIRECTORY
        if given.fresh:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        if given.bug:
            [bug] = [it for it in BUGS if it.name == given.bug]
            stack.enter_context(bug.planted())
        targets = [TARGETS[name] for name in names]
        limit = [f"-max_total_time={given.seconds}"]
        if given.runs:
            limit = [f"-runs={given.runs}", "-seed=1"]
        for run in fuzz(targets, limit, directory, processes=given.processes,
                        seeded=not (given.fresh and given.bug)):  # fmt: skip
            print(run, flush=True)
            if run.failed:
                found += 1
                print(run.story, flush=True)
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--target", action="append", default=[])
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, help="in place of seconds: the same ones each time")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", action="store_true", help="know nothing, and keep nothing")
    parser.add_argument("--bug", help="one of those that are planted (tests/fuzz/bugs.py)")
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--reproduce", type=Path, metavar="FILE")
    return parser


def _reproduce(file: Path) -> int:
    """The name of its directory is the target's."""
    from tests.fuzz.table import TARGETS

    TARGETS[file.resolve().parent.name].run(file.read_bytes())
    print("nothing found")
    return 0


def _minimise(names: Sequence[str]) -> int:
    from tests.fuzz.corpus import minimise
    from tests.fuzz.table import TARGETS

    for name in names or TARGETS:
        before, after = minimise(TARGETS[name], DIRECTORY / name)
        print(f"{name:14} {after} of {before} inputs kept")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
