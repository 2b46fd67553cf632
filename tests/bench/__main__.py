"""Measure Relay against rsyslog: the same work in the same run, reported as ratios."""

import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tests.bench.child import Silent
from tests.bench.host import host
from tests.bench.load import Load
from tests.bench.program import RELAY, RSYSLOG, Program
from tests.bench.ratio import Pair
from tests.bench.report import as_json, direct_lines, pair_lines
from tests.bench.row import ROWS, Row
from tests.bench.run import Run, measure

QUICK_DIVISOR = 10


@dataclass(slots=True)
class Progress:
    """One line on stderr that says what is running; gone when it is done."""

    total: int
    done: int = 0

    def show(self, text: str) -> None:
        self.done += 1
        line = f"[{self.done}/{self.total}] {text}"
        click.echo(
            f"\r\033[K{line}" if sys.stderr.isatty() else line, err=True, nl=not sys.stderr.isatty()
        )

    def clear(self) -> None:
        if sys.stderr.isatty():
            click.echo("\r\033[K", err=True, nl=False)


@click.command(help=__doc__)
@click.option("--row", "names", multiple=True, type=click.Choice([row.name for row in ROWS]),
              help="Only this row; may be repeated.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A tenth of the messages, and one pair.")
@click.option("--pairs", type=click.IntRange(1), help="Pairs of runs in each row; default 3.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write every run to this file.")  # fmt: skip
def main(names: Sequence[str], quick: bool, pairs: int | None, path: Path | None) -> None:
    rows = [row for row in ROWS if not names or row.name in names]
    if RSYSLOG.missing() and any(row.compared for row in rows):
        raise click.ClickException("rsyslogd is not installed")
    _allow_descriptors()
    rounds = pairs or (1 if quick else 3)
    machine = host()
    click.echo("\n".join(f"{key:<11} {value}" for key, value in machine.items()))
    progress = Progress(sum(rounds * (2 if row.compared else len(row.loads)) for row in rows))
    results: dict[str, Any] = {}
    try:
        for row in rows:
            it = _shortened(row) if quick else row
            results[row.name] = (_compare if row.compared else _direct)(it, rounds, progress)
    except Silent as silent:
        progress.clear()
        raise click.ClickException(str(silent)) from silent
    if path:
        path.write_text(json.dumps({"host": machine, "rows": results}, default=as_json, indent=1))


def _compare(row: Row, rounds: int, progress: Progress) -> Sequence[Pair]:
    pairs = []
    for number in range(1, rounds + 1):
        relay = _measured(RELAY, row, number, progress)
        pairs.append(Pair(relay, _measured(RSYSLOG, row, number, progress)))
    progress.clear()
    click.echo("\n" + "\n".join(pair_lines(row, pairs)))
    return pairs


def _measured(program: Program, row: Row, number: int, progress: Progress) -> Run:
    progress.show(f"{row.name}, pair {number}: {program.name}")
    return measure(program, row.loads[0])


def _direct(row: Row, rounds: int, progress: Progress) -> Sequence[Run]:
    runs: dict[Load, list[Run]] = {load: [] for load in row.loads}
    for number in range(1, rounds + 1):
        for load, measured in runs.items():
            progress.show(f"{row.name}, round {number}: {load.transport}")
            measured.append(measure(None, load))
    progress.clear()
    click.echo("\n" + "\n".join(direct_lines(row, runs)))
    return [run for measured in runs.values() for run in measured]


def _shortened(row: Row) -> Row:
    loads = tuple(load.part(QUICK_DIVISOR) for load in row.loads)
    return Row(row.name, row.about, loads, row.compared)


def _allow_descriptors() -> None:
    """As many as may be: 900 connections are more than some systems give unasked."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
