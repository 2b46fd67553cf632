import pytest

from relay.spool.holes import Hole, above, past, with_hole


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 0), (4, 4), (5, 9), (7, 9), (8, 9), (9, 9), (12, 15), (15, 15)]
)
def test_a_number_in_a_hole_goes_on_at_its_end(number: int, expected: int) -> None:
    assert past([(5, 8), (8, 9), (12, 15)], number) == expected


@pytest.mark.parametrize(
    ("hole", "expected"),
    [
        ((0, 2), [(0, 2), (5, 8)]),
        ((0, 5), [(0, 8)]),
        ((6, 7), [(5, 8)]),
        ((8, 9), [(5, 9)]),
        ((9, 10), [(5, 8), (9, 10)]),
        ((4, 20), [(4, 20)]),
    ],
)
def test_holes_that_touch_are_one(hole: Hole, expected: list[Hole]) -> None:
    assert with_hole([(5, 8)], hole) == expected


def test_holes_below_a_number_are_forgotten() -> None:
    assert above([(1, 3), (5, 8)], 3) == [(5, 8)]
    assert above([(1, 3), (5, 8)], 2) == [(1, 3), (5, 8)]
