"""`relay spool verify`: read every frame of a spool, and count what cannot be read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from relay.cli.place import Place, reading
from relay.cli.spool_list import damage_lines
from relay.cli.stored import span
from relay.cli.table import table
from relay.spool.inspection import Left
from relay.spool.recovery import Report
from relay.spool.store import Damaged

_HEAD = ("PIPE", "RESULT", "SEGMENTS", "FRAMES", "MESSAGES", "DAMAGED", "MISSING", "TORN OCTETS")


@dataclass(slots=True, eq=False)
class Verified:
    """What reading all of a spool has found; messages that have left and are on disk included."""

    pipe: str
    segments: int
    report: Report
    in_use: bool
    frames: int = 0
    messages: int = 0
    damaged: list[Damaged] = field(default_factory=list)
    missing: list[Damaged] = field(default_factory=list)  # without a trace, as a file that is gone
    damaged_octets: int = 0

    @property
    def sound(self) -> bool:
        report = self.report
        spoiled = self.damaged or self.missing or self.damaged_octets
        return not (spoiled or report.cursor_lost or report.unreadable)

    @property
    def torn_octets(self) -> int:
        return 0 if self.in_use else self.report.torn_octets

    def row(self) -> Sequence[str]:
        numbers = [
            self.segments, self.frames, self.messages, _sum(self.damaged), _sum(self.missing),
            self.torn_octets,
        ]  # fmt: skip
        return [self.pipe, "sound" if self.sound else "damaged", *map(str, numbers)]

    def lines(self) -> Sequence[str]:
        found = [f"{span(it)} cannot be read: {it.what}" for it in (*self.damaged, *self.missing)]
        if self.damaged_octets:
            found.append(f"{self.damaged_octets} octets are in no whole frame")
        return [*found, *damage_lines(self.report, in_use=self.in_use)]

    def as_json(self) -> dict[str, Any]:
        return {
            "pipe": self.pipe,
            "sound": self.sound,
            "segments": self.segments,
            "frames": self.frames,
            "messages": self.messages,
            "damaged": [_range(it) for it in self.damaged],
            "missing": [_range(it) for it in self.missing],
            "damaged_octets": self.damaged_octets,
            "torn_octets": self.torn_octets,
            "cursor_lost": self.report.cursor_lost,
            "aliens": self.report.aliens,
            "unreadable": self.report.unreadable,
        }


def show(place: Place, pipes: Sequence[str], *, as_json: bool) -> None:
    """Print what was found; exit with 1 when there is damage.

    Raises:
        Failure: a spool cannot be read.
    """
    found = [verify(place, pipe) for pipe in pipes or place.names()]
    if as_json:
        click.echo(json.dumps([it.as_json() for it in found], indent=2))
    elif not found:
        click.echo(f"no spool in {place.state_dir}")
    else:
        click.echo(table(_HEAD, 2, [it.row() for it in found]))
        remarks = [f"\n{it.pipe}: {line}" for it in found for line in it.lines()]
        click.echo("".join(remarks), nl=bool(remarks))
    if not all(it.sound for it in found):
        raise click.exceptions.Exit(1)


def verify(place: Place, pipe: str) -> Verified:
    """Read all of it."""
    in_use = place.holder(pipe) is not None
    with place.view(pipe) as (inspection, directory):
        parts, report = inspection.found.parts, inspection.found.report
        found = Verified(pipe, len(parts), report, in_use)
        for item in reading(pipe, inspection.read(inspection.oldest, inspection.next)):
            if isinstance(item, Left):
                continue
            if isinstance(item, Damaged):
                (found.missing if item.missing else found.damaged).append(item)
            else:
                found.frames += 1
                found.messages += len(item.batch)
        if found.damaged or found.missing or not in_use:  # else it was in the middle of a write
            found.damaged_octets = sum(directory.damaged.values())
    return found


def _sum(ranges: Sequence[Damaged]) -> int:
    return sum(it.messages for it in ranges)


def _range(it: Damaged) -> dict[str, Any]:
    return {"first": it.first, "messages": it.messages, "what": it.what}
