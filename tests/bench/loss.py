"""Lose nothing: the same story with rsyslog, syslog-ng and each mode of Relay.

A receiver reads 2,000 numbered messages, is stopped (SIGSTOP) while 500 come, is killed (SIGKILL)
while 1,500 come, and is started again. At the end the numbers it has read are compared with those
sent, and with what the program in between says of itself.

rsyslog is used when it is installed. So is syslog-ng; as Debian lets only one of the two be
installed, it may be unpacked into a directory instead, which --syslog-ng names:

\b
apt-get download syslog-ng-core libivykis0 libnet1 libpcre3 libwrap0
for package in *.deb; do dpkg -x "$package" unpacked; done
python -m tests.bench.loss --syslog-ng unpacked
"""  # noqa: D301 - click reads \b as "leave this paragraph as it is"

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.bench.__main__ import Progress
from tests.bench.child import Silent
from tests.bench.host import host
from tests.bench.story import Outcome, Story, tell
from tests.bench.subject import subjects
from tests.bench.syslog_ng import HELP

HEADINGS = ("program", "mode", "sent", "lost", "duplicated", "its own counters")


@click.command(help=__doc__)
@click.option("--syslog-ng", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help=HELP)  # fmt: skip
@click.option("--only", help="Only programs and modes with this text in their name.")
@click.option("--runs", type=click.IntRange(1), default=1, help="How often each is run.")
@click.option("--markdown", is_flag=True, help="The table as it stands in README.md.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write every run to this file.")  # fmt: skip
def main(
    syslog_ng: Path | None, only: str | None, runs: int, markdown: bool, path: Path | None
) -> None:
    found = [
        subject
        for subject in subjects(syslog_ng)
        if not only or only.lower() in f"{subject.name} {subject.about}".lower()
    ]
    if not found:
        raise click.ClickException(f"nothing is called {only!r}")
    progress = Progress(len(found) * runs)
    outcomes = []
    try:
        for subject in found:
            for _ in range(runs):
                progress.show(f"{subject.name}: {subject.about}")
                outcomes.append(tell(Story(), subject))
    except (Silent, AssertionError) as fault:
        progress.clear()
        raise click.ClickException(str(fault)) from fault
    progress.clear()
    rows = [_row(outcome) for outcome in outcomes]
    click.echo(as_markdown(rows) if markdown else as_text(rows))
    if path:
        runs_made = [as_json(outcome) for outcome in outcomes]
        path.write_text(json.dumps({"host": host(), "runs": runs_made}, indent=1))


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """A table in columns, numbers to the right."""
    table = [HEADINGS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", "---", "---:", "---:", "---:", "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADINGS, rule, *rows))


def as_json(outcome: Outcome) -> dict[str, Any]:
    subject = outcome.subject
    return {
        "program": subject.name,
        "version": subject.version,
        "mode": subject.about,
        **asdict(outcome.verdict),
        "claims": dict(outcome.claims),
    }


def _row(outcome: Outcome) -> Sequence[str]:
    subject, verdict = outcome.subject, outcome.verdict
    lost = f"{verdict.lost:,}" + (f" (and {verdict.foreign} damaged)" if verdict.foreign else "")
    return (
        f"{subject.name} {subject.version}",
        subject.about,
        f"{verdict.sent:,}",
        lost,
        f"{verdict.duplicated:,}",
        ", ".join(f"{word} {count:,}" for word, count in outcome.claims.items()),
    )


if __name__ == "__main__":
    main()
