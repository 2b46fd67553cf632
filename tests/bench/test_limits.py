"""The machine's own limits: what is measured is what is called so."""

import pytest

from tests.bench.limits import Limit, Limits


def test_a_limit_is_told_in_messages_of_the_bench() -> None:
    limit = Limit("write", seconds=2.0, octets=256 * 1000, calls=10)
    assert limit.messages_per_second == 500
    assert limit.message_ns == pytest.approx(2e6)
    assert limit.call_us == pytest.approx(200_000)


def test_every_limit_can_be_measured() -> None:
    """One piece of each; no figure of them is asserted."""
    shown: list[str] = []
    told = Limits("limits", "about", pieces=1).tell(2, shown.append)
    assert shown == ["limits, round 1", "limits, round 2"]
    assert len(told.lines) == 1 + 6
    [first, second] = told.runs
    assert [limit.what for limit in first] == [limit.what for limit in second]
    assert all(limit.seconds > 0 and limit.octets > 0 for limit in first)
