"""`relay spool list`: every spool of a state directory, a line each; and the orphans among them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

from relay.cli.failure import Failure
from relay.cli.place import Place, reading
from relay.cli.stored import stamp
from relay.cli.table import table
from relay.spool.recovery import Report
from relay.spool.store import Stored

_HEAD = ("PIPE", "STATE", "OLDEST", "MESSAGES", "OCTETS", "SEGMENTS", "FIRST", "NEXT")


@dataclass(frozen=True, slots=True)
class Listed:
    """What one look at a spool says."""

    pipe: str
    state: str  # "in use", "orphan", "idle"
    path: str
    messages: int = 0  # held, as far as their numbers say
    octets: int = 0  # of the files
    segments: int = 0
    oldest: str | None = None  # when the oldest message held was received
    first: int = 0  # number of the oldest message held, or of the next one
    next: int = 0
    damage: Sequence[str] = ()
    fault: str | None = None  # why it cannot be read

    def row(self) -> Sequence[str]:
        numbers = [self.messages, self.octets, self.segments, self.first, self.next]
        cells = ["?" if self.fault else str(number) for number in numbers]
        return [self.pipe, self.state, self.oldest or "-", *cells]


def show(place: Place, *, as_json: bool) -> None:
    """Print them.

    Raises:
        Failure: the directory cannot be read.
    """
    spools = [look_at(place, pipe) for pipe in place.names()]
    if as_json:
        click.echo(json.dumps([asdict(it) for it in spools], indent=2))
    elif not spools:
        click.echo(f"no spool in {place.state_dir}")
    else:
        click.echo(table(_HEAD, 3, [it.row() for it in spools]))
        remarks = [f"{it.pipe}: {line}" for it in spools for line in it.damage]
        remarks += [f"{it.pipe}: {it.fault}" for it in spools if it.fault]
        click.echo("".join(f"\n{line}" for line in remarks), nl=bool(remarks))


def orphans(place: Place) -> Sequence[str]:
    """A warning for each spool whose pipe is not configured."""
    try:
        found = [look_at(place, pipe) for pipe in place.names() if place.is_orphan(pipe)]
    except Failure as failure:
        return [failure.message]
    return [f"spool of pipe {it.pipe}, which is not configured, {_content(it)}" for it in found]


def look_at(place: Place, pipe: str) -> Listed:
    """One spool; that it cannot be read is said in it."""
    holder = place.holder(pipe)
    state = "in use" if holder else "orphan" if place.is_orphan(pipe) else "idle"
    path = place.path(pipe)
    try:
        with place.view(pipe) as (inspection, _):
            found = inspection.found
            oldest = next(
                (it.batch.received_ns
                 for it in reading(pipe, inspection.read(inspection.settled, inspection.next))
                 if isinstance(it, Stored)),
                None,
            )  # fmt: skip
            return Listed(
                pipe=pipe,
                state=state,
                path=path,
                messages=found.report.messages,
                octets=inspection.octets,
                segments=len(found.parts),
                oldest=stamp(oldest) if oldest is not None else None,
                first=inspection.settled,
                next=inspection.next,
                damage=damage_lines(found.report, in_use=holder is not None),
            )
    except Failure as failure:
        return Listed(pipe, state, path, fault=failure.message)


def damage_lines(report: Report, *, in_use: bool) -> Sequence[str]:
    """What a look without reading it all has found out of the ordinary."""
    lines = []
    if report.cursor_lost:
        lines.append("no whole cursor: the next start delivers all that is on disk again")
    if report.torn_octets and not in_use:  # else it is being written just now
        lines.append(f"{report.torn_octets} octets of an unfinished write, never confirmed")
    lines += [f"{name!a} is none of its files" for name in report.aliens]
    lines += [f"{name} is of a newer version, and cannot be read" for name in report.unreadable]
    return lines


def _content(it: Listed) -> str:
    if it.fault:
        return f"cannot be read: {it.fault}"
    if not it.messages:
        return f"holds nothing: {it.path} may be removed"
    return f"holds {it.messages} messages ({it.octets} octets): see `relay spool`"
