"""A header in front of lines that have none."""

import pytest

from relay.wire.heading import headed, heading

FRONT = heading(14, 1_795_419_925_000_000_000, b"edge", b"app")


def test_a_header_as_a_program_writes_it() -> None:
    assert FRONT == b"<14>2026-11-23T07:45:25.000Z edge app: "


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"text", FRONT + b"text"),
        (b"<13>text", b"<13>text"),
        (b"<999>text", FRONT + b"<999>text"),
        (b"Nov 23 07:45:25 host cron[1]: x", b"<14>Nov 23 07:45:25 host cron[1]: x"),
    ],
)
def test_what_a_line_lacks(line: bytes, message: bytes) -> None:
    assert headed([line], 14, FRONT, as_text=False) == [message]
    assert headed([line], 14, FRONT, as_text=True) == [FRONT + line]
