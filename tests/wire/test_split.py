"""Splitting text at its LFs."""

from hypothesis import given
from hypothesis import strategies as st

from relay.wire.split import split_lines


@given(st.lists(st.binary(max_size=40).map(lambda it: it.replace(b"\n", b"\r")), max_size=20))
def test_lines_come_without_their_lfs_and_with_everything_else(lines: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in lines)
    assert split_lines(text) == lines == text.split(b"\n")[:-1]
