"""The subcommands of `relay spool`: options and arguments only."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])

CONFIG = "config/relay.toml"


def _complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The pipes that have a spool; none where that cannot be seen."""
    from relay.cli.failure import Failure
    from relay.cli.place import Place

    try:
        place = Place.of(context.params.get("config") or CONFIG, context.params.get("state_dir"))
        return [CompletionItem(name) for name in place.names() if name.startswith(begun)]
    except Failure:
        return []


def _on_place(command: Command) -> Command:
    """The options that say where the spools are."""
    command = click.option(
        "--state-dir", metavar="DIR",
        help="The state directory.  [default: as the configuration says]",
    )(command)  # fmt: skip
    return click.option(
        "--config", "-c", default=CONFIG, show_default=True, metavar="PATH",
        help="The configuration file.",
    )(command)  # fmt: skip


def _on_selection(command: Command) -> Command:
    """The options that say which messages."""
    for decorate in reversed((
        click.option("--from", "first", type=click.IntRange(0), metavar="N",
                     help="From this number on.  [default: the oldest one held]"),
        click.option("--to", "last", type=click.IntRange(0), metavar="N",
                     help="Up to this number."),
        click.option("--since", metavar="TIME", help="Received at this time or later."),
        click.option("--until", metavar="TIME", help="Received before this time."),
        click.option("--limit", "-n", type=click.IntRange(1), metavar="N",
                     help="The first N of them."),
        click.option("--all", "everything", is_flag=True,
                     help="Also those that have left, as far as they are on disk."),
    )):  # fmt: skip
        command = decorate(command)
    return command


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_pipe = click.argument("pipe", shell_complete=_complete)


@click.group("spool")
def spool() -> None:
    """Look at what pipes hold on disk, and change it while no relay runs."""
    import logging

    logging.getLogger("relay").addHandler(logging.NullHandler())  # what matters is in the answer


@spool.command("list")
@_on_place
@_json
def list_(config: str, state_dir: str | None, *, as_json: bool) -> None:
    """Show every spool, a line each."""
    from relay.cli.place import Place
    from relay.cli.spool_list import show

    show(Place.of(config, state_dir), as_json=as_json)


@spool.command()
@_pipe
@_on_place
@_on_selection
@click.option("--meta", is_flag=True, help="Number, time, sender and listener in front.")
@_json
def cat(
    pipe: str, config: str, state_dir: str | None, *,
    meta: bool, as_json: bool, **selection: Any,  # noqa: ANN401 - as click gives them
) -> None:  # fmt: skip
    """Print the messages that PIPE holds on disk, a line each."""
    from relay.cli.place import Place
    from relay.cli.selection import Selection
    from relay.cli.stored import as_json as json_lines
    from relay.cli.stored import cat as print_all
    from relay.cli.stored import plain, with_meta

    encode = json_lines if as_json else with_meta if meta else plain
    print_all(Place.of(config, state_dir), pipe, Selection.of(**selection), encode)


@spool.command()
@click.argument("pipes", nargs=-1, metavar="[PIPE]...", shell_complete=_complete)
@_on_place
@_json
def verify(pipes: tuple[str, ...], config: str, state_dir: str | None, *, as_json: bool) -> None:
    """Read all of these spools, or of every one; exit code 1 when there is damage."""
    from relay.cli.place import Place
    from relay.cli.spool_verify import show

    show(Place.of(config, state_dir), pipes, as_json=as_json)


@spool.command()
@_pipe
@click.argument("file")
@_on_place
@_on_selection
@click.option(
    "--format", "format_", type=click.Choice(["octet", "lf", "json"]), default="octet",
    show_default=True, help="Octet counting, lines, or an object a line.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def export(
    pipe: str, file: str, config: str, state_dir: str | None, *,
    format_: str, force: bool, **selection: Any,  # noqa: ANN401 - as click gives them
) -> None:  # fmt: skip
    """Write the messages that PIPE holds on disk to FILE; `-` is stdout."""
    from relay.cli.place import Place
    from relay.cli.selection import Selection
    from relay.cli.stored import FORMATS
    from relay.cli.stored import export as write

    place, which = Place.of(config, state_dir), Selection.of(**selection)
    write(place, pipe, file, which, FORMATS[format_], force=force)


@spool.command()
@_pipe
@_on_place
@click.option("--to", "last", type=click.IntRange(0), metavar="N", help="Up to this number.")
@click.option("--until", metavar="TIME", help="Up to the first one received at this time or later.")
@click.option("--yes", "sure", is_flag=True, help="Do not ask.")
def purge(
    pipe: str, config: str, state_dir: str | None, *,
    last: int | None, until: str | None, sure: bool,
) -> None:  # fmt: skip
    """Throw away what PIPE holds on disk, or the oldest of it. No relay may run."""
    from relay.cli.place import Place
    from relay.cli.selection import Selection
    from relay.cli.spool_upkeep import throw_away

    selection = Selection.of(last=last, until=until)
    throw_away(Place.of(config, state_dir), pipe, selection, sure=sure)


@spool.command()
@_pipe
@_on_place
@click.option(
    "--from", "first", type=click.IntRange(0), metavar="N",
    help="From this number on.  [default: the oldest one on disk]",
)  # fmt: skip
def replay(pipe: str, config: str, state_dir: str | None, *, first: int | None) -> None:
    """Have the next start deliver again what has left PIPE and is still on disk.

    No relay may run.
    """
    from relay.cli.place import Place
    from relay.cli.spool_upkeep import deliver_again

    deliver_again(Place.of(config, state_dir), pipe, first)


@spool.command()
@click.argument("old", shell_complete=_complete)
@click.argument("new")
@_on_place
def adopt(old: str, new: str, config: str, state_dir: str | None) -> None:
    """Give the spool of pipe OLD to pipe NEW, which holds nothing. No relay may run."""
    from relay.cli.place import Place
    from relay.cli.spool_upkeep import adopt as give

    give(Place.of(config, state_dir), old, new)
