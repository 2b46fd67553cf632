"""`relay spool`: options and arguments. What the commands do stands in the modules beside."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from relay.cli.program import Program

if TYPE_CHECKING:
    from relay.cli.spool.selection import Selection
    from relay.cli.spool.state import State

DAMAGED = 1  # the exit code where something could not be read


def _state_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--config", "-c", default="config/relay.toml", show_default=True,
                     metavar="PATH", help="The configuration, which names the state directory."),
        click.option("--state-dir", metavar="DIR",
                     help="The state directory itself; no configuration is read."),
    ):  # fmt: skip
        command = option(command)
    return command


def _selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--limit", "-n", type=click.IntRange(0), metavar="N", help="At most so many."),
        click.option("--until", metavar="TIME", help="Received then or before."),
        click.option("--since", metavar="TIME",
                     help="Received then or later: 2026-11-28T14:03:00Z, or local time without Z."),
        click.option("--to", "last", type=click.IntRange(0), metavar="N",
                     help="Up to the message with this number."),
        click.option("--from", "first", type=click.IntRange(0), metavar="N",
                     help="From this number on, delivered or not.  [default: what is held]"),
    ):  # fmt: skip
        command = option(command)
    return command


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> Sequence[str]:
    """The names of spools, for shells; none where the configuration is no help."""
    from relay.cli.failure import Failure

    config, state_dir = context.params.get("config"), context.params.get("state_dir")
    try:
        names = _state(config or "config/relay.toml", state_dir).spools()
    except Failure:
        names = ()
    return [name for name in names if name.startswith(incomplete)]


_pipe = click.argument("pipe", shell_complete=_complete)


@click.group("spool", cls=Program)
def spool() -> None:
    """Look at what the pipes hold on disk, and change it while no relay runs."""


@spool.command("list")
@_state_options
@_json
def list_(config: str, state_dir: str | None, as_json: bool) -> None:
    """List the spools: what each holds, and whether a pipe still has it."""
    from relay.cli.spool.listing import listing, listing_text

    views = listing(_state(config, state_dir))
    click.echo(json.dumps(views, indent=2) if as_json else listing_text(views))
    sys.exit(DAMAGED if any("fault" in view for view in views) else 0)


@spool.command()
@_pipe
@_state_options
@_selection_options
@click.option("--long", "-l", "is_long", is_flag=True,
              help="Number, time of receipt, listener and sender in front.")  # fmt: skip
@_json
def cat(
    pipe: str,
    config: str,
    state_dir: str | None,
    is_long: bool,
    as_json: bool,
    **selected: Any,  # noqa: ANN401 - by `_selection_options`
) -> None:
    """Print the messages that PIPE holds, one a line."""
    from relay.cli.spool import output

    form = output.objects if as_json else output.described if is_long else output.lines
    state, selection = _state(config, state_dir), _selection(**selected)
    _, damaged = output.write(state, pipe, selection, form, sys.stdout.buffer)
    sys.exit(DAMAGED if damaged else 0)


@spool.command()
@click.argument("pipes", nargs=-1, metavar="[PIPE]...", shell_complete=_complete)
@_state_options
@_json
def verify(pipes: Sequence[str], config: str, state_dir: str | None, as_json: bool) -> None:
    """Read the spools of these pipes, or all, and say whether they are sound."""
    from relay.cli.spool.listing import survey

    state = _state(config, state_dir)
    found = [survey(state, pipe) for pipe in pipes or state.spools()]
    if as_json:
        click.echo(json.dumps([it.view() for it in found], indent=2))
    else:
        click.echo("\n".join(it.text() for it in found) or "no spools")
    sys.exit(0 if all(it.sound for it in found) else DAMAGED)


@spool.command()
@_pipe
@click.argument("file")
@_state_options
@_selection_options
@click.option("--format", "form", type=click.Choice(["octet", "lf", "json"]), default="octet",
              show_default=True, help="How messages are told apart.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def export(
    pipe: str,
    file: str,
    config: str,
    state_dir: str | None,
    form: str,
    force: bool,
    **selected: Any,  # noqa: ANN401 - by `_selection_options`
) -> None:
    """Write the messages that PIPE holds to FILE, or to stdout for "-". PIPE keeps them."""
    from relay.cli.spool import output

    state, selection = _state(config, state_dir), _selection(**selected)
    if file == "-":
        _, damaged = output.write(state, pipe, selection, output.FORMS[form], sys.stdout.buffer)
        sys.exit(DAMAGED if damaged else 0)
    state.need(pipe)
    with output.new_file(file, force=force) as out:
        written, damaged = output.write(state, pipe, selection, output.FORMS[form], out)
    click.echo(f"{written} messages of pipe {pipe} written to {file}")
    sys.exit(DAMAGED if damaged else 0)


@spool.command()
@_pipe
@_state_options
@click.option("--before", type=click.IntRange(0), metavar="N", help="Only those below this number.")
@click.option("--until", metavar="TIME", help="Only those received then or before.")
@_yes
def purge(
    pipe: str, config: str, state_dir: str | None, before: int | None, until: str | None, yes: bool
) -> None:
    """Throw away what PIPE holds. No relay may be running."""
    from relay.cli.spool import changes
    from relay.cli.spool.selection import moment

    state = _state(config, state_dir)
    until_ns = moment(until) if until is not None else None
    with state.held():
        pass  # to know before asking, and not to keep a relay from its page while waiting
    end, messages = changes.to_purge(state, pipe, before, until_ns)
    if not yes:
        click.confirm(f"Throw {messages} messages of pipe {pipe} away?", abort=True, err=True)
    with state.change() as change:
        messages = changes.purge(change, pipe, end)
    click.echo(f"{messages} messages of pipe {pipe} thrown away")


@spool.command()
@_pipe
@click.argument("file", required=False)
@_state_options
@click.option("--from", "first", type=click.IntRange(0), metavar="N",
              help="Without FILE: from this number on.  [default: the oldest]")  # fmt: skip
def replay(
    pipe: str, file: str | None, config: str, state_dir: str | None, first: int | None
) -> None:
    """Have PIPE deliver messages again at the next start. No relay may be running.

    Those of FILE, which `export --format json` has written; without one, those that were delivered
    and are still on disk.
    """
    from relay.cli.spool import changes, exported

    state = _state(config, state_dir)
    if file is not None:
        with exported.opened(file) as export, state.change() as change:
            messages = changes.put_back(change, pipe, export)
    else:
        with state.change() as change:
            messages = changes.replay(change, pipe, first)
    click.echo(f"{messages} messages will be delivered by pipe {pipe} at the next start")


@spool.command()
@click.argument("old", shell_complete=_complete)
@click.argument("new")
@_state_options
def adopt(old: str, new: str, config: str, state_dir: str | None) -> None:
    """Give the spool of pipe OLD to pipe NEW, which has none or an empty one.

    No relay may be running.
    """
    from relay.cli.spool import changes

    with _state(config, state_dir).change() as change:
        messages = changes.adopt(change, old, new)
    click.echo(f"pipe {new} has the spool of {old} now, with {messages} messages")


def _state(config: str, state_dir: str | None) -> "State":
    from relay.cli.configuration import load_or_fail
    from relay.cli.failure import Mistake
    from relay.cli.spool.state import State

    if state_dir is None:
        loaded = load_or_fail(config)
        return State(loaded.relay.state_dir, loaded.pipes.keys())
    if not os.path.isdir(state_dir):
        raise Mistake(f"{state_dir} is no directory")
    return State(state_dir)


def _selection(
    first: int | None, last: int | None, since: str | None, until: str | None, limit: int | None
) -> "Selection":
    from relay.cli.spool.selection import UNBOUNDED, Selection, moment

    return Selection(
        first,
        UNBOUNDED if last is None else last + 1,
        moment(since) if since is not None else 0,
        moment(until) if until is not None else UNBOUNDED,
        UNBOUNDED if limit is None else limit,
    )
