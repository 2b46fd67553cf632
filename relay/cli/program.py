"""How a command line ends: the exit code, and one line about what went wrong."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from relay.cli.failure import Failure

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Program(click.Group):
    """A group of commands that never answers a user's mistake with a traceback or two lines."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> None:
        try:
            code = super().main(args, prog_name or "relay", standalone_mode=False, **extra)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as exc:
            click.echo(exc.format_message(), err=True)
            code = exc.exit_code
        except Failure as exc:
            exc.show()
            code = exc.exit_code
        except click.ClickException as exc:
            text = " ".join(exc.format_message().split())
            click.echo(f"relay: {text[:1].lower()}{text[1:].rstrip('.')}", err=True)
            code = exc.exit_code
        except click.Abort:
            code = INTERRUPTED
        except BrokenPipeError:
            # Who read our output has seen enough; the flush at exit must not complain either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except OSError as exc:  # a full disk behind stdout, mostly
            click.echo(f"relay: {(exc.strerror or str(exc)).lower()}", err=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)
