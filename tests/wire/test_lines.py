"""Lines of a file, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.lines import TAIL_OCTETS, Lines

MAX = 16
CASES = [
    (b"", []),
    (b"a", []),
    (b"a\nb\n", [b"a", b"b"]),
    (b"a\r\n\r\nb\r\n", [b"a", b"", b"b"]),
    (b"a\rb\n", [b"a\rb"]),
    (b"\n\n", [b"", b""]),
    (b"\0\0\0a\n\0b\nc\0\n", [b"a", b"b", b"c\0"]),
    (b"x" * 16 + b"\n", [b"x" * 16]),
    (b"x" * 16 + b"\r\n", [b"x" * 16]),
    (b"x" * 50 + b"\ny\n", [b"x" * 16, b"y"]),
    ("ä".encode() * 30 + b"\n", ["ä".encode() * 8]),
    (b"x" + "ä".encode() * 30 + b"\n", [b"x" + "ä".encode() * 7]),
]


def fed(data: bytes, size: int) -> tuple[list[bytes], Lines]:
    lines = Lines(MAX)
    found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
    return found, lines


@pytest.mark.parametrize(("data", "expected"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_and_where_the_incomplete_one_begins(
    data: bytes, expected: list[bytes], size: int
) -> None:
    found, lines = fed(data, size)
    assert found == expected
    assert lines.position == data.rfind(b"\n") + 1
    assert lines.end == len(data)


@given(st.text("ab\r\n\0ä", max_size=80).map(str.encode), st.integers(1, 80))
def test_cut_points_do_not_matter(data: bytes, size: int) -> None:
    found, lines = fed(data, size)
    whole, once = fed(data, len(data) or 1)
    assert found == whole
    for name in ("position", "end", "before", "recent", "truncated", "truncated_octets"):
        assert getattr(lines, name) == getattr(once, name), name
    assert lines.before == data[: lines.position][-TAIL_OCTETS:]
    assert lines.recent == data[-TAIL_OCTETS:]
    assert lines.close() == once.close()


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_are_taken_and_little_is_held(pieces: list[bytes]) -> None:
    lines = Lines(MAX)
    for piece in pieces:
        assert all(len(line) <= MAX for line in lines.feed(piece))
        assert len(lines._held) <= MAX + 3


def test_a_line_that_gets_no_end_is_one() -> None:
    _, lines = fed(b"a\nbc", 1)
    assert lines.close() == [b"bc"]
    assert lines.position == 4
    assert lines.close() == []


def test_octets_cut_are_counted() -> None:
    _, lines = fed(b"x" * 50 + b"\n", 7)
    assert (lines.truncated, lines.truncated_octets) == (1, 34)
