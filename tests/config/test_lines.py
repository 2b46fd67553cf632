"""The line of a key is found with tomli itself."""

from collections.abc import Iterator
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from relay.config.lines import KeyPath, key_lines, key_text, line_of, parse_part, statements


def has(document: Any, path: KeyPath) -> bool:  # noqa: ANN401 - TOML
    for part in path:
        try:
            document = document[part]
        except (LookupError, TypeError):
            return False
    return True


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from paths(inner, (*path, place))


def by_prefixes(text: str, path: KeyPath) -> int:
    """The definition: the line after the last parsable prefix of the text that lacks the path."""
    lines = text.split("\n")
    last = 0
    for count in range(len(lines) + 1):
        document = parse_part("\n".join(lines[:count]))
        if document is not None and not has(document, path):
            last = count
    return last + 1


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ("\n# a\n\na = 1 # b\n", ("a",), 4),
        ("[a]\n\n[a.b]\nc = 1\n", ("a",), 1),
        ("[a]\n\n[a.b]\nc = 1\n", ("a", "b"), 3),
        ("[a]\n\n[a.b]\nc = 1\n", ("a", "b", "c"), 4),
        ("[a.b]\nc = 1\n[a]\nd = 2", ("a",), 1),
        ("a.b.c = 1\na.b.d = 2\n", ("a", "b", "d"), 2),
        ("[x]\na.b = 1\n'a'.\"c\" = 2\n", ("x", "a", "c"), 3),
        ("x = 1\na = { b = { c = 1 } }\n", ("a", "b", "c"), 2),
        ("[[a]]\nb = 1\n[[a]]\nb = 2\n", ("a", 0, "b"), 2),
        ("[[a]]\nb = 1\n[[a]]\nb = 2\n", ("a", 1, "b"), 4),
        ("[[a]]\n[[a.b]]\nc = 1\n[[a]]\n[[a.b]]\n[[a.b]]\nc = 1\n", ("a", 1, "b", 1, "c"), 7),
        ("[[a]]\n[[a]]\n[a.b]\nc.d = 1\n", ("a", 1, "b", "c", "d"), 4),
        ("a = [\n  'x',\n  # more\n  'y', 'z',\n]\nb = 1\n", ("a",), 1),
        ("a = [\n  'x',\n  # more\n  'y', 'z',\n]\nb = 1\n", ("a", 0), 2),
        ("a = [\n  'x',\n  # more\n  'y', 'z',\n]\nb = 1\n", ("a", 1), 4),
        ("a = [\n  'x',\n  # more\n  'y', 'z',\n]\nb = 1\n", ("a", 2), 4),
        ("a = [\n  'x',\n  # more\n  'y', 'z',\n]\nb = 1\n", ("b",), 6),
        ("a = [1,\n2, # ]\n3]\n", ("a", 2), 3),
        ("a = [1,\n2, # ]\n3]\n", ("a", 0), 1),
        ("a = [\n{ b = 1 },\n{ b = 2 },\n]\n", ("a", 1, "b"), 3),
        ("a = [\n1\n, 2\n, 3\n]\n", ("a", 0), 2),
        ("a = [\n1\n, 2\n, 3\n]\n", ("a", 2), 3),
        ("a = [\n[1,\n2],\n3]\n", ("a", 1), 2),
        ("a = [\n[1], [2]\n,\n]\n", ("a", 1, 0), 2),
        ('a = """\nb = 1\n]\n"""\nb = 2\n', ("b",), 5),
        ("a = '''x]\n[t]\n'''\nb = 2\n", ("b",), 4),
        ("a = ['''\n1,\n''',\n2]\n", ("a", 1), 1),
        ("[a]\n\nb = 1\n", ("a", "missing"), 1),
        ("\n[a]\n", ("missing",), 1),
    ],
)
def test_where_a_key_stands(text: str, path: KeyPath, line: int) -> None:
    tomli.loads(text)
    assert line_of(path, key_lines(text)) == line


KEYS = st.sampled_from(["a", "b", "c", '"d.e"', "'f'"])
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(".".join)
ATOMS = st.sampled_from(["1", "true", "'x'", '"#"', '"]"', '"""\n]\n\'\n"""', "'''\na = 1\n'''"])


def _array(elements: list[str], separator: str) -> str:
    return "[" + separator + ("," + separator).join(elements) + separator + "]"


VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds(
            _array,
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from([" ", "\n", "\n  # ]\n", " # x\n"]),
        )
        | st.builds("{{ {} = {} }}".format, DOTTED, inner)
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    st.just(""),
    st.just("# [a]"),
    DOTTED.map("[{}]".format),
    DOTTED.map("[[{}]]".format),
    st.builds("{} = {}".format, DOTTED, VALUES),
    st.builds("{} = {} # ]".format, DOTTED, VALUES),
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Valid texts: what would make one invalid is left out."""
    text = ""
    for statement in draw(st.lists(STATEMENTS, max_size=10)):
        if parse_part(text + statement + "\n") is not None:
            text += statement + "\n"
    return text


@given(documents())
def test_lines_are_as_defined(text: str) -> None:
    """Keys as the definition has them; elements of a list not before it, nor behind its end."""
    lines = key_lines(text)
    ends = {begin: begin + part.count("\n") for begin, part in statements(text)}
    for path in paths(tomli.loads(text)):
        defined = by_prefixes(text, path)
        assert path in lines
        assert defined <= lines[path] <= ends[defined]
        if not any(isinstance(part, int) for part in path):
            assert lines[path] == defined


@given(documents())
def test_statements_are_the_text(text: str) -> None:
    parts = list(statements(text))
    assert "\n".join(part for _, part in parts) == text.removesuffix("\n" * (not parts))
    assert [begin for begin, _ in parts] == sorted({begin for begin, _ in parts})


@given(st.text("a=[]{}'\"\n,.# 1"))
def test_any_text_has_lines(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("relay",), "relay"),
        (("listeners", "net-udp", "listen", 0), "listeners.net-udp.listen[0]"),
        (("listeners", "a.b", "type"), 'listeners."a.b".type'),
        (("pipes", "p", "match", 1, "not", "facility", 2), "pipes.p.match[1].not.facility[2]"),
        (("ä", ""), '"ä".""'),
        (("\n", '"'), "'\\n'.'\"'"),
    ],
)
def test_how_a_key_is_written(path: KeyPath, text: str) -> None:
    assert key_text(path) == text
