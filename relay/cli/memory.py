"""`relay memory`: the lines of a memory ring, and those that come."""

import json
import time

import click

from relay.cli.client import AdminClient

LOOK_SECONDS = 0.5  # between two looks for new lines


def show(client: AdminClient, name: str, *, lines: int | None, follow: bool) -> None:
    """Print what the ring holds; with `follow` go on until interrupted.

    Lines are asked for by number, so a pager may pause for as long as it likes: what was
    overwritten meanwhile is told, and nothing comes twice.
    """
    path = f"/memory/{name}"
    answer = json.loads(client.get(path, lines=lines))
    ring, end = answer["ring"], answer["end"]
    while True:
        _print(answer)
        caught_up = answer["next"] >= answer["end"]
        if not follow and (caught_up or answer["next"] >= end):
            return
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


def _print(answer: dict[str, object]) -> None:
    lines = answer["lines"]
    assert isinstance(lines, list)
    if answer["missed"]:
        click.echo(f"-- {answer['missed']} lines overwritten before they were read --")
    if lines:
        click.echo("\n".join(lines))
