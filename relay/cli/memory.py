"""`relay memory`: the lines of a memory ring, those that come, and taking them away."""

import json
import sys
import time
from typing import Any

import click

from relay.cli.client import AdminClient
from relay.cli.table import table

LOOK_SECONDS = 0.5  # between two looks for new lines
_COLUMNS = ("NAME", "LINES", "BYTES", "SIZE", "OVERWRITTEN")


def show_all(client: AdminClient) -> None:
    """Print the rings that there are; one that has overflowed is marked."""
    rings = json.loads(client.get("/memory"))
    rows = [
        [name + "*" * it["overflowed"],
         *(str(it[key]) for key in ("lines", "bytes", "size", "overwritten"))]
        for name, it in rings.items()
    ]  # fmt: skip
    click.echo(table(_COLUMNS, 1, rows))


def show(
    client: AdminClient, name: str, *, lines: int | None, follow: bool, clear: bool = False
) -> None:
    """Print what the ring holds; with `follow` go on until interrupted.

    Lines are asked for by number, so a pager may pause for as long as it likes: what was
    overwritten meanwhile is told, and nothing comes twice. With `clear` exactly what was printed
    is taken away.
    """
    path = f"/memory/{name}"
    answer = json.loads(client.get(path, lines=lines))
    ring, end = answer["ring"], answer["end"]
    while True:
        _print(answer)
        caught_up = answer["next"] >= answer["end"]
        if not follow and (caught_up or answer["next"] >= end):
            break
        if caught_up:
            time.sleep(LOOK_SECONDS)
        limit = None if follow else end - answer["next"]
        answer = json.loads(client.get(path, since=answer["next"], lines=limit))
        if answer["ring"] != ring:
            if not follow:
                return
            click.echo("-- the ring is another one now --")
            ring = answer["ring"]
            answer = json.loads(client.get(path))
    if clear:
        sys.stdout.flush()  # whoever reads it has it, or this raises
        client.post(f"{path}/clear", before=answer["next"], ring=ring)


def discard(client: AdminClient, name: str) -> None:
    """Take all lines of the ring away."""
    cleared = json.loads(client.post(f"/memory/{name}/clear"))["cleared"]
    click.echo(f"{cleared} lines of {name} cleared")


def check_overflow(client: AdminClient, name: str) -> None:
    """Exit with 1 if the ring has overflowed since it was cleared, and say so."""
    answer: dict[str, Any] = json.loads(client.get(f"/memory/{name}", lines=0))
    if answer["overflowed"]:
        click.echo(f"{name} has overflowed")
        sys.exit(1)


def _print(answer: dict[str, object]) -> None:
    lines = answer["lines"]
    assert isinstance(lines, list)
    if answer["missed"]:
        click.echo(f"-- {answer['missed']} lines overwritten or cleared before they were read --")
    if lines:
        click.echo("\n".join(lines))
