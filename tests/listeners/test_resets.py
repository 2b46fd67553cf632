"""What is said of connections that break."""

import logging

import pytest

from relay.listeners.resets import REPEAT_SECONDS, Resets


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def test_the_first_is_told_and_then_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "relay.listener")
    resets = Resets("in")
    for second in range(10):
        resets.note("192.0.2.1", "connection reset", float(second))
        resets.due(float(second))
    first = "listener in: connection from 192.0.2.1: connection reset"
    assert told(caplog, logging.INFO) == [first]
    assert told(caplog, logging.DEBUG) == [first] * 9
    resets.due(REPEAT_SECONDS)
    resets.due(2 * REPEAT_SECONDS)
    assert told(caplog, logging.INFO) == [first, "listener in: 9 more connections broke"]


def test_after_a_minute_without_any_the_next_is_told_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "relay.listener")
    resets = Resets("in")
    resets.note("192.0.2.1", "connection reset", 0.0)
    resets.note("192.0.2.2", "connection reset", REPEAT_SECONDS)
    assert len(caplog.records) == 2


def test_what_is_untold_is_counted_until_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay.listener")
    resets = Resets("in")
    for now in (0.0, 1.0, REPEAT_SECONDS):
        resets.note("192.0.2.1", "connection reset", now)
    resets.tell(REPEAT_SECONDS)
    assert told(caplog, logging.INFO)[1:] == ["listener in: 2 more connections broke"]
