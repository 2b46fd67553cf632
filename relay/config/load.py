"""From a file to a `Config`, or to everything that is wrong with it."""

from collections.abc import Iterable
from typing import cast

from relay.config.checks import (
    check_addresses,
    check_directories,
    check_each_address,
    check_internal,
    check_modules,
    check_names,
)
from relay.config.errors import ConfigError, ConfigErrors
from relay.config.lines import key_lines, key_text, line_of
from relay.config.model import Config, with_dead_letters
from relay.config.tables import Problem, Tables, read_tables
from relay.config.toml import read_document, read_text
from relay.core.component import Destination, Listener


def load(path: str) -> Config:
    """The configuration in a file.

    Raises:
        ConfigErrors: all that is wrong with it.
    """
    text = read_text(path)
    document = read_document(text, path)
    tables = read_tables(document)
    problems = [
        *tables.problems,
        *check_names(document),
        *check_internal(document),
        *check_addresses(tables),
        *check_each_address(tables),
        *check_directories(tables),
        *check_modules(tables),
    ]
    if problems:
        raise located(problems, text, path)
    return _config(path, tables)


def located(problems: Iterable[Problem], text: str, path: str) -> ConfigErrors:
    """The problems with their places in the text of a file; there must be some."""
    lines = key_lines(text)
    errors = {
        ConfigError(path, line_of(it.path, lines), None, key_text(it.path), it.text): None
        for it in problems
    }
    return ConfigErrors(list(errors))


def _config(path: str, tables: Tables) -> Config:
    assert tables.relay
    assert tables.admin
    return Config(
        path=path,
        relay=tables.relay,
        admin=tables.admin if tables.admin.listen else None,
        listeners=cast("dict[str, Listener]", tables.listeners),
        destinations=cast("dict[str, Destination]", tables.destinations),
        pipes=with_dead_letters(tables.pipes),
    )
