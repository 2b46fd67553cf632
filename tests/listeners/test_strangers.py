"""What is said of connections from senders that are not allowed."""

import pytest

from relay.listeners.strangers import NAMED_MAX, REPEAT_SECONDS, Strangers


def test_the_first_is_told_and_then_one_line_a_minute_that_names_few(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strangers = Strangers("in")
    for number in range(1000):
        strangers.note(f"192.0.2.{number % 250}", number / 100)
        strangers.due(number / 100)
    strangers.due(REPEAT_SECONDS)
    strangers.due(2 * REPEAT_SECONDS)
    strangers.tell(2 * REPEAT_SECONDS)
    named = ", ".join(f"192.0.2.{number}" for number in range(1, NAMED_MAX + 1))
    assert [record.getMessage() for record in caplog.records] == [
        "listener in refuses a connection from 192.0.2.0: not allowed",
        f"listener in refused 999 more connections that are not allowed, from {named} and others",
    ]


def test_the_end_tells_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    strangers = Strangers("in")
    strangers.note("192.0.2.1", 0.0)
    strangers.note("192.0.2.1", 1.0)
    strangers.tell(2.0)
    strangers.tell(2.0)
    assert [record.getMessage() for record in caplog.records][1:] == [
        "listener in refused 1 more connections that are not allowed, from 192.0.2.1"
    ]
