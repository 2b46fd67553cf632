"""Every state that a crash may leave of a spool is opened, and keeps the spool's word."""

import pytest

from tests.spool.enumeration.bugs import BUGS, Bug
from tests.spool.enumeration.campaign import Campaign

STATES_MIN = 100_000
SOMETIMES = (
    "delivered, and comes again",
    "frame damaged",
    "hole",
    "no whole cursor",
    "sample drawn",
    "second crash",
    "segment missing",
    "segment without a frame removed",
    "torn end cut",
)


def test_every_state_that_a_crash_may_leave_keeps_what_was_told() -> None:
    """Power cuts at every step, second ones during recovery, and kill -9.

    No number that was told durable is missing, none is invented, used twice or passed, the report
    is exact, and the spool goes on.
    """
    summary = Campaign().run()
    assert not summary.breaches, "\n".join(summary.told)
    assert summary.states >= STATES_MIN
    assert {name for name, times in summary.sometimes.items() if times} >= {*SOMETIMES}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert bug.search().breaches


def test_there_are_enough_of_them() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
