"""What a message costs in each stage: `python -m tests.bench.profile tcp-tcp durable`.

Stack samples of Relay at the work of a row (py-spy, which is in the extra `bench`), scaled to the
CPU per message of the same run. Samples are by wall clock: where the cores are shared, system calls
look a little longer than they are.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from tests.bench.comparison import Comparison
from tests.bench.more import groups
from tests.bench.rows import ROWS
from tests.bench.run import Run, measure
from tests.bench.stages import stage_of

SAMPLES_PER_SECOND = 500
LONGER = 3  # than the row: so many samples as to tell a hundredth from noise
ROUNDS_UP = 0.005  # of the whole: less is not worth a line

_MORE = [row for group in groups(None).values() for row in group]
COMPARED = {row.name: row for row in (*ROWS, *_MORE) if isinstance(row, Comparison)}


@contextmanager
def sampling(pid: int, to: Path) -> Iterator[None]:
    """Samples of a process while inside, in py-spy's raw format: `frame;frame;… number`."""
    command = [_sampler(), "record", "--pid", str(pid), "--format", "raw", "--output", str(to),
               "--rate", str(SAMPLES_PER_SECOND), "--duration", "unlimited"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as spy:
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)  # it writes what it has
            _, said = spy.communicate()
    if not to.exists():
        raise click.ClickException(f"py-spy: {said.decode(errors='replace').strip()}")


def _sampler() -> str:
    """Beside this interpreter, whose environment need not be active, or wherever it is."""
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        raise click.ClickException("py-spy is not installed: pip install -e '.[bench]'")
    return found


def counted(samples: str) -> Counter[str]:
    """Samples by stage; threads that wait are not among them."""
    found: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, number = line.rpartition(" ")
        stage = stage_of(stack)
        if stage is not None:
            found[stage] += int(number)
    return found


def lines(found: Counter[str], run: Run) -> Iterator[str]:
    """A table in Markdown, the most expensive stage first."""
    yield "| stage | ns | share |"
    yield "| --- | --- | --- |"
    for stage, number in found.most_common():
        share = number / found.total()
        if share >= ROUNDS_UP:
            yield f"| {stage} | {share * run.cpu_us * 1000:,.0f} | {share:.0%} |"


def profiled(row: Comparison) -> tuple[Counter[str], Run]:
    """Relay alone at the work of a row."""
    load = replace(row.load, messages=row.load.messages * LONGER)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as directory:
        file = Path(directory, "samples")
        run = measure(row.relay, load, beside=lambda pid: sampling(pid, file))
        return counted(file.read_text()), run


@click.command(help=__doc__)
@click.argument("names", nargs=-1, required=True, type=click.Choice(list(COMPARED)))
def main(names: Sequence[str]) -> None:
    for name in names:
        found, run = profiled(COMPARED[name])
        click.echo(f"`{name}`, {run.cpu_us:.2f} µs a message, {found.total()} samples:\n")
        click.echo("\n".join(lines(found, run)) + "\n")


if __name__ == "__main__":
    main()
