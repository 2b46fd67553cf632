"""Which connections wait for their sender's rate."""

from dataclasses import dataclass

import pytest

from relay.core.rate import Buckets, Limit
from relay.core.streams import Stream
from relay.listeners.pacing import NAMED_MAX, QUIET_SECONDS, Pacing


@dataclass(frozen=True, eq=False)
class Peer:
    peer: str


def stream(peer: str) -> Stream:
    return Stream(Peer(peer), None, 0.0)  # type: ignore[arg-type]


def pacing(rate: float = 10.0, burst: int = 5) -> Pacing:
    return Pacing("in", Buckets(Limit(rate, burst)))


def test_all_connections_of_a_sender_share_its_rate_and_no_other() -> None:
    them, (one, two, other) = pacing(), map(stream, ("192.0.2.1", "192.0.2.1", "192.0.2.2"))
    them.charge(one, 14, 0.0)
    assert them.holds(one, 0.0)
    assert them.holds(two, 0.0)
    assert not them.holds(other, 0.0)
    assert them.seconds(0.0) == pytest.approx(1.0)
    assert list(them.due(0.9)) == []
    assert list(them.due(1.0001)) == [one, two]
    assert not them.waiting
    assert them.seconds(1.0001) == float("inf")
    assert not them.holds(one, 1.0001)


def test_who_is_closed_while_it_waits_is_forgotten() -> None:
    them, one = pacing(), stream("192.0.2.1")
    them.charge(one, 15, 0.0)
    assert them.holds(one, 0.0)
    them.forget(one)
    assert list(them.due(100.0)) == []


def test_who_waits_again_waits_until_the_later_time() -> None:
    them, one = pacing(), stream("192.0.2.1")
    them.charge(one, 14, 0.0)
    assert them.holds(one, 0.0)
    them.charge(one, 10, 0.0)
    assert them.holds(one, 0.0)
    assert list(them.due(1.0001)) == []
    assert list(them.due(2.0001)) == [one]


def test_an_episode_is_told_at_its_start_and_its_end_and_few_senders_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "relay.listener")
    them = pacing()
    for number in range(NAMED_MAX + 50):
        for now in (0.0, 0.5):
            one = stream(f"192.0.2.{number}")
            them.charge(one, 100, now)
            assert them.holds(one, now)
    them.tell(QUIET_SECONDS)
    assert len(caplog.messages) == NAMED_MAX + 1
    assert caplog.messages[0] == (
        "listener in: 192.0.2.0 sends more than its rate_limit and has to wait"
    )
    assert caplog.messages[-1] == "listener in: other senders send more than their rate_limit, too"
    caplog.clear()
    them.tell(0.5 + QUIET_SECONDS)
    them.tell(9.0 + QUIET_SECONDS)
    assert len(caplog.messages) == NAMED_MAX + 1
    assert caplog.messages[0] == "listener in: 192.0.2.0 is within its rate_limit again"
    assert caplog.messages[-1] == "listener in: other senders are within their rate_limit again"
    assert not them._told
