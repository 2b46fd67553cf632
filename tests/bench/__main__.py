"""Measure Relay against its peers: the same work in the same run, reported as ratios."""

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tests.bench.child import Silent
from tests.bench.comparison import Comparison
from tests.bench.counting import best
from tests.bench.guard import AUTO, CASES, default_commit, git, guard, steps
from tests.bench.host import host
from tests.bench.overload import Overload, losses
from tests.bench.plot import Curves, bars, bars_svg, curves_svg
from tests.bench.program import RSYSLOG
from tests.bench.report import as_json
from tests.bench.rows import GROUPS, NAMES, rows
from tests.bench.syslog_ng import HELP

QUICK_DIVISOR = 10
CHOICES = [*NAMES, *GROUPS, *(name for names in GROUPS.values() for name in names)]


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


def _list_rows(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        for group, members in {"without --row": NAMES, **GROUPS}.items():
            click.echo(f"{group}: {' '.join(members)}")
        context.exit()


@click.command(help=__doc__)
@click.option("--row", "names", multiple=True, type=click.Choice(CHOICES), metavar="NAME",
              help="Only this row, or this group of rows; may be repeated.")  # fmt: skip
@click.option("--list", is_flag=True, expose_value=False, is_eager=True, callback=_list_rows,
              help="The names of all rows, by group.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A tenth of the messages, and one round.")
@click.option(
    "--rounds", "--pairs", type=click.IntRange(1), help="Runs of each program in a row; default 3."
)
@click.option(
    "--backlog", type=click.IntRange(1000), help="Messages of the row backlog; default 1,000,000."
)
@click.option(
    "--syslog-ng", type=click.Path(path_type=Path, exists=True, file_okay=False), help=HELP
)
@click.option(
    "--guard", "commit", is_flag=False, flag_value=AUTO, metavar="[COMMIT]",
    help="Compare what a message costs with this commit, and fail when it is over 10 % more;"
    " default where the branch left main, or on main what was committed before.",
)  # fmt: skip
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write every run to this file.")  # fmt: skip
@click.option("--plot", "plots", type=click.Path(path_type=Path, file_okay=False),
              help="Write rate, CPU and loss as SVG to this directory.")  # fmt: skip
def main(
    *,
    names: Sequence[str],
    quick: bool,
    rounds: int | None,
    backlog: int | None,
    syslog_ng: Path | None,
    commit: str | None,
    path: Path | None,
    plots: Path | None,
) -> None:
    if commit is not None:
        _guard(names, commit, path)
        return
    chosen = rows(names, backlog=backlog, syslog_ng=syslog_ng)
    if RSYSLOG.missing() and any(isinstance(row, Comparison) for row in chosen):
        raise click.ClickException("rsyslogd is not installed")
    if quick:
        chosen = [row.part(QUICK_DIVISOR) for row in chosen]
    _allow_descriptors()
    rounds = rounds or (1 if quick else 3)
    machine = host()
    click.echo("\n".join(f"{key:<11} {value}" for key, value in machine.items()))
    progress = Progress(sum(row.steps(rounds) for row in chosen))
    results: dict[str, Any] = {}
    curves: dict[str, Curves] = {}
    try:
        for row in chosen:
            told = row.tell(rounds, progress.show)
            if isinstance(row, Overload):
                curves[row.name] = losses(told.runs, row.rates)
            results[row.name] = told.runs
            progress.clear()
            click.echo("\n" + "\n".join(told.lines))
    except (Silent, AssertionError) as fault:
        progress.clear()
        raise click.ClickException(str(fault)) from fault
    if path:
        path.write_text(json.dumps({"host": machine, "rows": results}, default=as_json, indent=1))
    if plots:
        _plot(plots, {name: it for name, it in results.items() if name not in curves}, curves)


def _plot(directory: Path, results: Mapping[str, Any], curves: Mapping[str, Curves]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if found := list(bars(results)):
        (directory / "rows.svg").write_text(bars_svg(found))
    for name, shares in curves.items():
        (directory / f"{name}.svg").write_text(curves_svg(shares))


def _guard(names: Sequence[str], commit: str, path: Path | None) -> None:
    cases = [case for case in CASES if not names or case.name in names]
    if missing := set(names) - {case.name for case in CASES}:
        known = ", ".join(case.name for case in CASES)
        raise click.UsageError(f"--guard has no row {', '.join(sorted(missing))} (known: {known})")
    _allow_descriptors()
    counter = best()
    progress = Progress(steps(cases, counter))
    judged = []
    try:
        name = default_commit(git) if commit == AUTO else commit
        click.echo(f"this tree against {git('log', '-1', '--format=%h %s', name)}")
        click.echo(f"{counter.unit}, {counter.about}")
        for row in guard(cases, name, counter, progress.show):
            judged.append(row)
            progress.clear()
            click.echo(row.line())
    except Silent as fault:
        progress.clear()
        raise click.ClickException(str(fault)) from fault
    if path:
        found = {"counter": counter.about, "commit": name, "rows": judged}
        path.write_text(json.dumps(found, default=as_json, indent=1))
    if any(row.failed for row in judged):
        raise SystemExit(1)


def _allow_descriptors() -> None:
    """As many as may be: 900 connections are more than some systems give unasked."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
