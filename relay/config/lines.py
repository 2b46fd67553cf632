"""On which line of a TOML text a key stands, found with tomli itself.

A statement of a valid text parses by itself, and no beginning of it does that ends with a line: a
bracket or a quote is still open. So statements are told apart by trying, and parsing each with
nothing around it says which keys it sets.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import tomli

KeyPath = tuple[str | int, ...]

KEY_MAX = 300  # characters of a key in an error; TOML would allow a thousand parts

# A value of several lines ends with one of these; trying on other lines only would cost time.
_CLOSING = r"""(?:[\]}]|"{3}|'{3})[ \t]*(?:\#.*)?$"""
_BARE = r"[A-Za-z0-9_-]+"


def statements(text: str) -> Iterator[tuple[int, str]]:
    """The statements of a text with the lines they begin on; the last may be broken."""
    gathered: list[str] = []
    begin = 1
    for number, line in enumerate(text.split("\n"), 1):
        gathered.append(line)
        if len(gathered) == 1 or re.search(_CLOSING, line):
            statement = "\n".join(gathered)
            if parse_part(statement) is not None:
                yield begin, statement
                gathered, begin = [], number + 1
    if gathered:
        yield begin, "\n".join(gathered)


def declarations(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Every path that each statement sets, and its line; ends at the first broken statement."""
    lengths: dict[KeyPath, int] = {}  # of arrays of tables so far
    header: KeyPath = ()
    for number, statement in statements(text):
        table = parse_part(statement)
        if table is None:
            break
        if statement.lstrip().startswith("["):
            header = _open_header(table, lengths)
            yield from ((header[: depth + 1], number) for depth in range(len(header)))
        else:
            yield from _elements(header, table, number, statement)
            yield from ((path, number) for path, _ in values(table, header) if path)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of every key, table and element of a list."""
    lines: dict[KeyPath, int] = {}
    for path, line in declarations(text):
        lines.setdefault(path, line)
    return lines


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """The line of a key; where it is missing, of the innermost table that should hold it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def key_text(path: KeyPath) -> str:
    """`listeners.edge.listen[0]`, names in quotes where TOML wants them."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{_key(part)}" if text else _key(part)
        if len(text) > KEY_MAX:
            return text[:KEY_MAX] + "…"
    return text


def values(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """A value and all that is in it, each with its path."""
    rest: list[tuple[KeyPath, object]] = [(path, value)]  # no recursion: keys have up to 1000 parts
    while rest:
        path, value = rest.pop()
        yield path, value
        if isinstance(value, dict):
            rest += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            rest += [((*path, place), item) for place, item in enumerate(value)]


def parse_part(text: str) -> dict[str, Any] | None:
    """The table that a part of a file makes by itself, None for a part that is no TOML."""
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError):
        return None


def _key(name: str) -> str:
    if re.fullmatch(_BARE, name):
        return name
    shown = name if len(name) <= 80 else name[:80] + "…"
    return f'"{shown}"' if shown.isprintable() and '"' not in shown else ascii(shown)


def _open_header(table: Any, lengths: dict[KeyPath, int]) -> KeyPath:  # noqa: ANN401 - TOML
    """The path a header opens, through the last table of every array on the way."""
    path: KeyPath = ()
    while isinstance(table, dict) and table:
        [(key, table)] = table.items()
        path += (key,)
        if isinstance(table, list):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path += (lengths[path] - 1,)
    return path


def _elements(
    header: KeyPath, table: dict[str, Any], number: int, statement: str
) -> Iterator[tuple[KeyPath, int]]:
    """The elements of a list over several lines, which stand on lines of their own.

    Each further line that parses as elements of a list holds whole ones. The first that does not is
    taken for the place of all that follow.
    """
    first, *further = statement.split("\n")
    path, elements = _only_list(header, table)
    begun = parse_part(first + "\n]") if further else None
    if begun is None:
        return
    place = len(_only_list(header, begun)[1])
    for line in further:
        number += 1
        whole = parse_part(f"_ = [\n{line}\n]")
        end = len(elements) if whole is None else min(place + len(whole["_"]), len(elements))
        for at in range(place, end):
            yield from ((each, number) for each, _ in values(elements[at], (*path, at)))
        place = max(place, end)


def _only_list(path: KeyPath, value: Any) -> tuple[KeyPath, list[Any]]:  # noqa: ANN401 - TOML
    while isinstance(value, dict) and len(value) == 1:
        [(key, value)] = value.items()
        path += (key,)
    return path, value if isinstance(value, list) else []
