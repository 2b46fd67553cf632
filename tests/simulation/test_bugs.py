"""The simulation finds what it is there for: every planted bug, and nothing without one."""

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.story import Failed, run_seed

SEEDS_MAX = 400  # from the one that is known to find it on


def found_by(bug: Bug) -> int | None:
    """The first seed that fails with the bug in it, and passes without."""
    for seed in range(bug.seed, bug.seed + SEEDS_MAX):
        try:
            with bug.planted():
                run_seed(seed, bug.faults)
        except Failed:
            run_seed(seed, bug.faults)
            return seed
    return None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert found_by(bug) is not None


def test_there_are_enough_of_them() -> None:
    assert len(BUGS) >= 25
    assert len({bug.name for bug in BUGS}) == len(BUGS)
