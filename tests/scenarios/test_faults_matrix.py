"""The fault matrix: which test covers which row.

Tests named `test_row_NN_…` cover row NN. Others, which were there for another reason or belong
elsewhere, are listed here.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ROWS = (*range(1, 14), 19, 20, *range(22, 32), *range(36, 41))
ELSEWHERE = {
    2: ("bench/test_loss.py::test_each_mode_keeps_its_word",),
    3: ("bench/test_loss.py::test_each_mode_keeps_its_word",),
    5: ("destinations/test_acked.py::test_a_dead_peer_is_left",),
    7: ("scenarios/test_isolation.py::test_three_destinations",),
    8: ("destinations/test_acked.py::test_a_slow_reader_is_neither_stalled_nor_cut",),
    9: ("scenarios/test_troubles.py::test_name_that_hangs",),
    11: ("scenarios/test_relp.py::test_a_receiver_that_goes_away_gets_the_rest_again",),
    12: ("destinations/test_relp.py::test_answers_out_of_order_settle_when_the_oldest_has_one",),
    13: (
        "scenarios/test_relp.py::"
        "test_a_relay_that_goes_away_had_told_nobody_what_it_did_not_deliver",
    ),
    19: (
        "scenarios/test_kernel_drops.py::test_drops_while_stopped",
        "scenarios/test_kernel_drops.py::test_drops_just_before_the_stop",
    ),
    22: ("scenarios/test_crash.py::test_what_memory_held_at_a_kill_is_recovered_as_lost_and_told",),
    23: (
        "spool/enumeration/test_enumeration.py::"
        "test_every_state_that_a_crash_may_leave_keeps_what_was_told",
        "spool/enumeration/test_enumeration.py::test_a_planted_bug_is_found",
        "spool/test_store_machine.py::test_what_was_committed_is_there_and_nothing_is_invented",
    ),
    24: (
        "spool/enumeration/test_enumeration.py::"
        "test_every_state_that_a_crash_may_leave_keeps_what_was_told",
        "spool/test_store.py::test_what_a_failed_sync_has_left_in_the_page_cache_is_written_again",
    ),
    26: (
        "scenarios/test_files.py::test_full_disk",
        "spool/test_nth_call.py::"
        "test_whichever_call_fails_nothing_told_is_missing_and_it_works_again",
    ),
    28: (
        "spool/test_damage.py::"
        "test_every_flipped_octet_is_damage_counted_exactly_and_nothing_else_is_lost",
    ),
    29: ("spool/test_store.py::test_a_deleted_segment_is_an_exact_range",),
    30: (
        "scenarios/test_spool.py::test_a_spool_that_another_process_has_does_not_stop_the_pipe",
        "spool/test_store.py::test_a_second_process_is_kept_out",
    ),
    31: ("scenarios/test_descriptors.py::test_more_clients_than_descriptors",),
    36: ("scenarios/test_files.py::test_rotation",),
    37: (
        "scenarios/test_stop.py::test_acknowledged_is_read",
        "scenarios/test_stop.py::test_second_signal_hurries",
    ),
    38: ("scenarios/test_reloads.py::test_two_hundred_reloads",),
}  # fmt: skip


def functions_in(path: Path) -> Iterator[str]:
    """The names of its functions and methods."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def named_rows() -> set[int]:
    """The rows that have a test of their name."""
    names = [name for path in Path(__file__).parent.glob("test_faults_*.py")
             for name in functions_in(path)]  # fmt: skip
    return {int(row[1]) for name in names if (row := re.match(r"test_row_(\d\d)_", name))}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_covered(row: int) -> None:
    assert row in named_rows() | ELSEWHERE.keys()


@pytest.mark.parametrize("test", sorted({it for tests in ELSEWHERE.values() for it in tests}))
def test_what_is_listed_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in functions_in(ROOT / "tests" / path)


def test_no_other_rows_are_claimed() -> None:
    assert named_rows() | ELSEWHERE.keys() == set(ROWS)
