"""How long a destination may stall, and must be healthy."""

from relay.core.health import Health
from relay.core.sharing import RETURN_SECONDS_MAX, Patience, Sharing

KEYS = Sharing("failover", 30.0, 60.0)


def test_one_that_does_not_last_is_waited_for_twice_as_long_up_to_a_limit() -> None:
    patience, now = Patience(KEYS), 0.0
    waits = []
    for _ in range(8):
        waits.append(patience.return_seconds)
        patience.back(now)
        patience.lost(now + 89)
        patience.lost(now + 1000)  # down already
    assert waits == [30, 60, 120, 240, 480, *[RETURN_SECONDS_MAX] * 3]
    patience.back(0.0)
    patience.lost(RETURN_SECONDS_MAX + 60)
    assert patience.return_seconds == 30


def test_a_longer_return_after_is_no_shorter_for_the_limit() -> None:
    patience = Patience(Sharing("failover", 3600.0, 60.0))
    patience.back(0.0)
    patience.lost(1.0)
    assert patience.return_seconds == 3600


def test_only_a_stall_without_a_break_is_too_long() -> None:
    patience, health = Patience(KEYS), Health("a")
    health.stalled = True
    patience.note(health, 10.0)
    assert not patience.ends(69.9)
    assert patience.ends(70.0)
    health.stalled = False
    patience.note(health, 75.0)
    health.stalled = True
    patience.note(health, 76.0)
    assert not patience.ends(100.0)
