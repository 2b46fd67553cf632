"""The subcommands: options and arguments only. What they do stands in the module each imports."""

import gc
import signal
from typing import TYPE_CHECKING, BinaryIO

import click

from relay import __version__
from relay.cli.program import Program
from relay.cli.spool.commands import spool

if TYPE_CHECKING:
    from relay.wire.framing import Framing

CONFIG = "config/relay.toml"
LEVELS = ("debug", "info", "warning", "error")

_config = click.option(
    "--config", "-c", default=CONFIG, show_default=True, metavar="PATH",
    help="The configuration file.",
)  # fmt: skip
_admin = click.option(
    "--admin", metavar="ADDRESS",
    help="The admin server to ask, HOST:PORT or unix:PATH.  [default: as the configuration says]",
)  # fmt: skip


@click.group(
    "relay",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="relay", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """A syslog relay that never loses a message without saying so."""
    if context.invoked_subcommand != "run":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, signal.SIGTERM})
        gc.enable()


@cli.command()
@_config
@click.option(
    "--log-level", type=click.Choice(LEVELS), default="info", show_default=True,
    help="What is logged on stderr, this or worse.",
)  # fmt: skip
def run(config: str, log_level: str) -> None:
    """Relay messages until SIGTERM; SIGHUP reads the configuration again."""
    from relay.cli.run import run as run_relay

    run_relay(config, log_level)


@cli.command()
@_config
def check(config: str) -> None:
    """Say what is wrong with the configuration, or what it means."""
    from relay.admin.access import access_fault
    from relay.cli.configuration import load_or_fail
    from relay.cli.spool.listing import orphans
    from relay.cli.spool.state import State
    from relay.cli.tls import file_faults
    from relay.config.summary import summary

    loaded = load_or_fail(config)
    found = [*orphans(State(loaded.relay.state_dir, loaded.pipes.keys())), *file_faults(loaded)]
    if fault := access_fault(loaded.admin):
        found = [*found, fault]
    click.echo("\n".join([*summary(loaded), *(f"warning: {line}" for line in found)]))


@cli.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    import json

    from relay.config.schema import schema as schema_of_file

    click.echo(json.dumps(schema_of_file(), indent=2))


@cli.command()
@click.option("--udp", metavar="HOST:PORT", help="Send datagrams there.")
@click.option("--tcp", metavar="HOST:PORT", help="Send over a TCP connection.")
@click.option("--unix", metavar="PATH", help="Send to a unix datagram socket.")
@click.option("--stream", is_flag=True, help="With --unix: it is a stream socket.")
@click.option(
    "--framing", type=click.Choice(["lf", "octet", "nul"]), default="lf", show_default=True,
    help="How messages are told apart on a stream.",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1), metavar="N",
    help="Send the message N times; each ends in its number, ' seq=1' to ' seq=N'.",
)  # fmt: skip
@click.option("--number", is_flag=True, help="Number messages also without --count.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), metavar="R",
    help="Messages a second.  [default: as fast as it goes]",
)  # fmt: skip
@click.option("--facility", default="user", show_default=True, help="Name or number.")
@click.option("--severity", default="notice", show_default=True, help="Name or number.")
@click.option(
    "--priority", "-p", metavar="FACILITY.SEVERITY", help="Both at once, as logger has it."
)
@click.option("--program", "-t", default="relay-send", show_default=True, help="Who says it.")
@click.option(
    "--rfc", type=click.Choice(["5424", "3164", "raw"]), default="5424", show_default=True,
    help="The header that goes in front; raw: none, not even a priority.",
)  # fmt: skip
@click.argument("message", nargs=-1)
def send(**options: object) -> None:
    """Send MESSAGE, or every line of stdin, as syslog messages."""
    from relay.cli.send import Sending, transmit

    click.echo(transmit(Sending.of(**options)))


@cli.command()
@_config
@_admin
@click.option("--json", "as_json", is_flag=True, help="Print the whole ledger as JSON.")
def ledger(config: str, admin: str | None, as_json: bool) -> None:
    """Show where every message of the running relay has gone."""
    from relay.cli.client import AdminClient, admin_address
    from relay.cli.table import ledger_text

    text = AdminClient(admin or admin_address(config)).get("/ledger")
    click.echo(text if as_json else ledger_text(text), nl=not as_json)


@cli.command()
@click.argument("name", required=False)
@_config
@_admin
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come.")
@click.option(
    "--lines", "-n", type=click.IntRange(0), metavar="N", help="Only the last N.  [default: all]"
)
@click.option("--clear", "how", flag_value="clear", help="Take away what was shown.")
@click.option("--discard", "how", flag_value="discard", help="Take all lines away and show none.")
@click.option(
    "--overflowed", "how", flag_value="overflowed",
    help="Only say whether lines were overwritten since it was cleared; then exit code 1.",
)  # fmt: skip
def memory(
    name: str | None,
    config: str,
    admin: str | None,
    follow: bool,
    lines: int | None,
    how: str | None,
) -> None:
    """Show the lines that the memory destination NAME of the running relay holds.

    Without NAME, show which ones there are; an asterisk stands at those that have overflowed.
    """
    from relay.cli.client import AdminClient, admin_address
    from relay.cli.failure import Mistake
    from relay.cli.memory import check_overflow, discard, show, show_all

    if how and (follow or lines is not None):
        raise Mistake(f"--{how} goes with neither --follow nor --lines")
    if name is None and (how or follow or lines is not None):
        raise Mistake("which memory destination? give its NAME")
    client = AdminClient(admin or admin_address(config))
    if name is None:
        show_all(client)
    elif how == "discard":
        discard(client, name)
    elif how == "overflowed":
        check_overflow(client, name)
    else:
        show(client, name, lines=lines, follow=follow, clear=how == "clear")


@cli.command()
@_config
@_admin
@click.option(
    "--top", "-n", type=click.IntRange(1), metavar="N",
    help="The busiest N of each listener.  [default: 20]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print all that is known as JSON.")
def senders(config: str, admin: str | None, top: int | None, as_json: bool) -> None:
    """Show who sends how much to the running relay, and which expected senders are silent."""
    from relay.cli.client import AdminClient, admin_address
    from relay.cli.senders import senders_text

    text = AdminClient(admin or admin_address(config)).get("/senders", top=top)
    click.echo(text if as_json else senders_text(text), nl=not as_json)


@cli.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--framing", type=click.Choice(["auto", "octet", "lf", "nul"]), default="auto",
    show_default=True, help="How messages are told apart.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(file: BinaryIO, framing: "Framing", as_json: bool) -> None:
    """Look through received messages in FILE (- is stdin) for gaps and duplicates.

    Exit code 1 when there are any, or when no message has a hop record.
    """
    from relay.cli.verify import verify as verify_file

    verify_file(file, framing, as_json=as_json)


@cli.group()
def tls() -> None:
    """Look at certificates."""


@tls.command()
@click.argument("address")
@click.option("--ca", metavar="FILE", help="Authorities.  [default: those of the system]")
@click.option("--server-name", metavar="NAME", help="What the peer's certificate must bear.")
@click.option("--certificate", metavar="FILE", help="Ours, for a peer that asks for one.")
@click.option("--key", metavar="FILE", help="Its key.  [default: in the file of the certificate]")
@click.option(
    "--minimum-version", type=click.Choice(["1.2", "1.3"]), default="1.3", show_default=True,
    help="The oldest version of TLS that will do.",
)  # fmt: skip
def probe(address: str, **keys: str | None) -> None:
    """Say whether messages would be sent to ADDRESS over TLS, and why not; none is sent.

    Exit code 1 when not.
    """
    from relay.cli.tls import probe as probe_peer

    click.echo(probe_peer(address, {key: it for key, it in keys.items() if it is not None}))


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(f"relay {__version__}")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that makes a shell complete relay's arguments."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "relay", "_RELAY_COMPLETE").source())


cli.add_command(spool)
