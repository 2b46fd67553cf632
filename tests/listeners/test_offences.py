"""What is said of connections that are refused or ended."""

import pytest

from relay.listeners.offences import NAMED_MAX, QUIET_SECONDS, Offences

NOT_ALLOWED = "refused: not allowed"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_each_peer_is_told_once_and_how_often_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    offences = Offences("in")
    for second in range(3600):  # two that try again every minute for an hour
        if second % 60 == 0:
            offences.note("192.0.2.1", NOT_ALLOWED, second)
            offences.note("2001:db8::1", NOT_ALLOWED, second)
        offences.due(second)
    assert lines(caplog) == [
        "listener in: connection from 192.0.2.1 refused: not allowed",
        "listener in: connection from 2001:db8::1 refused: not allowed",
    ]
    offences.due(3540 + QUIET_SECONDS)
    assert lines(caplog) == [
        "listener in: 60 connections from 192.0.2.1 within 3540 s refused: not allowed",
        "listener in: 60 connections from 2001:db8::1 within 3540 s refused: not allowed",
    ]
    offences.due(1e9)
    assert lines(caplog) == []
    offences.note("192.0.2.1", NOT_ALLOWED, 1e9)
    assert lines(caplog) == ["listener in: connection from 192.0.2.1 refused: not allowed"]


def test_a_peer_that_did_it_once_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    offences = Offences("in")
    offences.note("192.0.2.1", NOT_ALLOWED, 0.0)
    offences.due(QUIET_SECONDS)
    offences.tell()
    assert len(lines(caplog)) == 1


def test_causes_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    offences = Offences("in")
    offences.note("192.0.2.1", NOT_ALLOWED, 0.0)
    offences.note("192.0.2.1", "ended: it begins TLS", 0.0)
    assert len(lines(caplog)) == 2


def test_a_million_peers_take_few_lines_and_little_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    offences = Offences("in")
    for number in range(1_000_000):
        offences.note(f"2001:db8::{number:x}", NOT_ALLOWED, number / 10_000)
    told = lines(caplog)
    assert told[:2] == [
        "listener in: connection from 2001:db8::0 refused: not allowed",
        "listener in: connection from 2001:db8::1 refused: not allowed",
    ]
    assert told[NAMED_MAX:] == ["listener in: connections from others, too, refused: not allowed"]
    assert sum(map(len, offences._episodes.values())) == NAMED_MAX + 1
    offences.tell()
    others = 1_000_000 - NAMED_MAX
    assert lines(caplog) == [
        f"listener in: {others} connections from others within 100 s refused: not allowed"
    ]
    offences.tell()
    assert lines(caplog) == []
