"""`relay spool purge`, `replay` and `adopt`: what changes a spool, while no relay runs."""

import os
import re

import click

from relay.cli.failure import Failure, Mistake
from relay.cli.place import Place, failing, reading
from relay.cli.selection import Selection
from relay.config.tables import NAME_MAX, NAME_PATTERN
from relay.spool.store import Stored
from relay.spool.upkeep import Range, give_book, make_way, purge, rewind
from relay.system.directory import SystemDirectory
from relay.system.spools import move_spool, spool_path


def throw_away(place: Place, pipe: str, selection: Selection, *, sure: bool) -> None:
    """Give up the oldest messages, as far as they are selected; ask before, unless `sure`.

    Raises:
        Failure: it is not confirmed, a relay runs, or the spool cannot be used.
    """
    end, messages = _selected(place, pipe, selection)
    if not messages:
        click.echo(f"pipe {pipe} holds nothing of that")
        return
    if not sure:
        _confirm(f"Throw away {messages} messages of pipe {pipe}, up to number {end - 1}?")
    with place.stopped() as page, failing(f"spool of pipe {pipe}"):
        done = purge(SystemDirectory(place.path(pipe)), page, pipe, end)
    click.echo(f"threw away {_text(done)} of pipe {pipe}")


def deliver_again(place: Place, pipe: str, first: int | None) -> None:
    """Have the next start deliver what has left and is still on disk.

    Raises:
        Failure: a relay runs, or the spool cannot be used.
    """
    with place.stopped() as page, failing(f"spool of pipe {pipe}"):
        done = rewind(SystemDirectory(place.path(pipe)), page, pipe, first or 0)
    if done.messages:
        click.echo(f"the next start delivers {_text(done)} of pipe {pipe} again")
    else:
        click.echo(f"nothing that has left pipe {pipe} is still on disk")


def adopt(place: Place, old: str, new: str) -> None:
    """Give the spool of one pipe to another, which holds nothing.

    Raises:
        Failure: it cannot be given: a relay runs, or the other pipe holds something.
    """
    if not re.fullmatch(NAME_PATTERN, new):
        raise Mistake(f'a name has 1 to {NAME_MAX} letters, digits, "_", "-" and ".", not {new!r}')
    if old == new:
        raise Mistake("the two names are the same")
    messages = _held(place, old)
    with place.stopped() as page:
        source = SystemDirectory(place.path(old))
        with failing(f"spool of pipe {old}"):
            source.open()
        try:
            _clear(place, new)
            make_way(page, new)
            with failing(spool_path(place.state_dir, new)):
                move_spool(place.state_dir, old, new)
            give_book(page, old, new)
        finally:
            source.close()
    click.echo(f"pipe {new} has the spool of pipe {old} now: {messages} messages")


def _selected(place: Place, pipe: str, selection: Selection) -> tuple[int, int]:
    """Where what is to be thrown away ends, and how many messages that are."""
    with place.view(pipe) as (inspection, _):
        end = inspection.next if selection.last is None else selection.last + 1
        if selection.until_ns is not None:
            for item in reading(pipe, inspection.read(inspection.settled, end)):
                if isinstance(item, Stored) and item.batch.received_ns >= selection.until_ns:
                    end = item.first
                    break
        return min(end, inspection.next), inspection.messages(inspection.settled, end)


def _held(place: Place, pipe: str) -> int:
    with place.view(pipe) as (inspection, _):
        return inspection.messages(inspection.settled, inspection.next)


def _clear(place: Place, pipe: str) -> None:
    """Remove a spool that holds nothing, so that another one may have its name."""
    if pipe not in place.names():
        return
    with place.view(pipe) as (inspection, _):
        messages = inspection.messages(inspection.settled, inspection.next)
        report = inspection.found.report
    if messages:
        raise Failure(f"pipe {pipe} has a spool of its own that holds {messages} messages")
    path = place.path(pipe)
    aside = os.path.join(path, "quarantine")
    if report.aliens or report.unreadable or os.path.lexists(aside):
        raise Failure(f"{path} has other files: remove them first")
    directory = SystemDirectory(path)
    with failing(f"spool of pipe {pipe}"):
        directory.open()
        try:
            for name in directory.sizes():
                directory.unlink(name)
        finally:
            directory.close()


def _confirm(question: str) -> None:
    try:
        yes = click.confirm(question)
    except click.Abort as exc:
        raise Failure("not confirmed, nothing is thrown away (--yes does not ask)") from exc
    if not yes:
        raise Failure("nothing is thrown away")


def _text(done: Range) -> str:
    if done.messages == 1:
        return f"1 message (number {done.first})"
    return f"{done.messages} messages (numbers {done.first} to {done.end - 1})"
