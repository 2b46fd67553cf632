"""Holes: ranges of numbers that a spool has not, and nobody will look for."""

from collections.abc import Sequence

Hole = tuple[int, int]  # first number, and the end
Holes = Sequence[Hole]  # rising


def past(holes: Holes, number: int) -> int:
    """This number, or the end of the hole that it is in."""
    for first, end in holes:
        if first <= number < end:
            number = end
    return number


def without(holes: Holes, first: int, end: int) -> int:
    """How many of these numbers are in no hole."""
    inside = sum(max(0, min(last, end) - max(start, first)) for start, last in holes)
    return max(0, end - first) - inside


def with_hole(holes: Holes, hole: Hole) -> list[Hole]:
    """One more, joined with those that it touches."""
    joined: list[Hole] = []
    for first, end in sorted([*holes, hole]):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return joined


def above(holes: Holes, number: int) -> list[Hole]:
    """Those that reach above this number."""
    return [hole for hole in holes if hole[1] > number]
