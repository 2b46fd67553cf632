"""What a command reports before it exits with something else than 0."""

import sys
from typing import IO, Any

import click


class Failure(click.ClickException):
    """What was asked for did not work; exit code 1."""

    exit_code = 1
    prefix = "relay: "

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"{self.prefix}{self.message}", file=file or sys.stderr)


class Mistake(Failure):
    """The user has to change what was asked for; exit code 2."""

    exit_code = 2


class ConfigMistake(Mistake):
    """A line for each mistake, beginning with file and line, so that editors find the place."""

    prefix = ""
