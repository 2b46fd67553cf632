"""A configuration file's text and its TOML, with the place of what is wrong with either."""

import codecs
from typing import Any

import tomli

from relay.config.errors import ConfigError, ConfigErrors
from relay.config.lines import (
    KeyPath,
    declarations,
    key_lines,
    key_text,
    line_of,
    statements,
    values,
)

FILE_OCTETS_MAX = 16 << 20  # a device given by mistake ends, too

_TWICE = ("Cannot declare", "Cannot overwrite", "Cannot mutate", "Cannot redefine", "Duplicate")
_REASONS = {
    "Invalid value": "expected a value; text stands in quotes",
    "Unclosed array": 'expected "," or "]"',
    "Unclosed inline table": 'expected "," or "}"',
}


def read_text(path: str) -> str:
    """The file's text with LF line ends.

    Raises:
        ConfigErrors: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_OCTETS_MAX + 1)
    except (OSError, ValueError) as exc:  # ValueError: NUL in the path
        reason = (getattr(exc, "strerror", None) or str(exc)).lower()
        raise ConfigErrors(
            [ConfigError(path, None, None, "", f"cannot be read: {reason}")]
        ) from exc
    if len(data) > FILE_OCTETS_MAX:
        text = f"is larger than the {FILE_OCTETS_MAX} octets a configuration may have"
        raise ConfigErrors([ConfigError(path, None, None, "", text)])
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as exc:
        before = data[: exc.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        text = f"byte 0x{data[exc.start]:02x} is not UTF-8"
        raise ConfigErrors([ConfigError(path, line, column, "", text)]) from exc


def read_document(text: str, path: str) -> dict[str, Any]:
    """The document of a TOML text.

    Raises:
        ConfigErrors: it is no TOML.
    """
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as exc:
        error = _syntax_error(exc, text, path)
        raise ConfigErrors([error]) from exc
    except (RecursionError, ValueError) as exc:  # ValueError: a number of more than 4,300 digits
        *_, (line, _) = statements(text)
        deep = isinstance(exc, RecursionError)
        reason = "is nested too deeply" if deep else "has a number of too many digits"
        raise ConfigErrors([ConfigError(path, line, None, "", reason)]) from exc
    # TOML has no others; and Python refuses to print what hexadecimal digits can write.
    if huge := [key for key, value in values(document) if _is_huge(value)]:
        lines, reason = key_lines(text), "a whole number has no more than 64 bits"
        raise ConfigErrors(
            [ConfigError(path, line_of(key, lines), None, key_text(key), reason) for key in huge]
        )
    return document


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and not -(1 << 63) <= value < 1 << 63


def _syntax_error(exc: tomli.TOMLDecodeError, text: str, path: str) -> ConfigError:
    begin = max(line for line, _ in statements(text) if line <= exc.lineno)
    if exc.msg.startswith(_TWICE):
        key, first = _declared(text, begin)
        if key:
            twice = f"is given twice, first on line {first}"
            return ConfigError(path, begin, None, key_text(key), twice)
        reason = "a key is given twice in an inline table"
    elif exc.msg == "Invalid value" and not text[exc.pos : exc.pos + 1].strip():
        reason = "expected a value"
    else:
        reason = _REASONS.get(exc.msg) or exc.msg[:1].lower() + exc.msg[1:]
    if begin != exc.lineno:
        reason += f", in what begins on line {begin}"
    return ConfigError(path, exc.lineno, exc.colno, "", reason)


def _declared(text: str, begin: int) -> tuple[KeyPath, int | None]:
    """The key that the statement on this line sets again, and the line where it was first."""
    first: dict[KeyPath, int] = {}
    again: KeyPath = ()
    for path, line in declarations(text):
        if line < begin:
            first.setdefault(path, line)
        elif line == begin and path in first and len(path) > len(again):
            again = path
    while again and isinstance(again[-1], int):
        again = again[:-1]  # `[a]` after `[[a]]`
    return again, first.get(again)
