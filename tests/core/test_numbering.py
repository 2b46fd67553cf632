"""Holes in numbers, and numbers that come twice, against a model that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from relay.core.numbering import Numbering

INFINITY = float("inf")


def numbers(ranges: object) -> list[int]:
    assert isinstance(ranges, list | tuple)
    return [number for first, end in ranges for number in range(first, end)]


def test_what_follows_one_another_is_nothing_to_tell() -> None:
    numbering = Numbering(5, 5)
    assert numbering.take(5, 9, 0.0) == ((), 0)
    assert numbering.take(9, 10, 0.0) == ((), 0)
    assert not numbering.give_up(INFINITY)


def test_a_hole_is_missing_when_it_was_open_for_long() -> None:
    numbering = Numbering(0, 0)
    numbering.take(3, 4, 10.0)
    numbering.take(6, 7, 20.0)
    assert numbering.give_up(9.9) == []
    assert numbering.give_up(10.0) == [(0, 3)]
    assert numbering.give_up(20.0) == [(4, 6)]


def test_what_was_overtaken_fills_its_hole_and_what_is_late_is_counted() -> None:
    numbering = Numbering(0, 0)
    numbering.take(4, 5, 0.0)
    assert numbering.take(1, 3, 0.1) == ([], 0)
    assert numbering.give_up(0.0) == [(0, 1), (3, 4)]
    assert numbering.take(3, 4, 9.0) == ([], 1)
    assert numbering.take(3, 4, 9.0) == ([(3, 4)], 0)


def test_what_was_before_our_time_is_not_judged() -> None:
    numbering = Numbering(5, 5)
    numbering.take(5, 8, 0.0)
    again, late = numbering.take(2, 7, 0.0)
    assert (numbers(again), late) == ([5, 6], 0)


def test_too_many_holes_are_missing_at_once_and_forgotten_later() -> None:
    numbering = Numbering(0, 0, holes_max=3)
    for number in range(1, 21, 2):
        numbering.take(number, number + 1, 0.0)
        numbering.give_up(-1.0)
    assert len(numbering.fresh) == 3
    assert [hole.first for hole in numbering.given_up] == [8, 10, 12]


def test_what_fills_a_gap_in_pieces_costs_no_memory() -> None:
    numbering = Numbering(0, 0, holes_max=3)
    numbering.take(1000, 1001, 0.0)
    assert numbering.give_up(INFINITY) == [(0, 1000)]
    late = [numbering.take(number, number + 1, 1.0)[1] for number in range(1, 1000, 2)]
    assert late == [1] * 500
    assert len(numbering.given_up) == 3


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=30), st.data())
def test_every_number_is_received_once_missing_or_a_duplicate(
    runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    numbering = Numbering(0, 0)
    seen: set[int] = set()
    told: set[int] = set()
    for first, length in runs:
        came = range(first, first + length)
        again, late = numbering.take(first, first + length, 1.0)
        assert sorted(numbers(again)) == sorted(seen & set(came))
        assert late == len(told & (set(came) - seen))
        seen |= set(came)
        if data.draw(st.booleans()):
            missing = numbers(numbering.give_up(INFINITY))
            assert sorted(missing) == sorted(set(range(numbering.next)) - seen - told)
            told |= set(missing)
