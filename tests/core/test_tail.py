import pytest

from relay.core.queue import Entry
from relay.core.tail import Tail
from tests.core.parts import numbered


@pytest.mark.parametrize(
    ("octets_max", "kept"),
    [(0, []), (1, [4]), (10, [4]), (11, [2, 4]), (30, [2, 4]), (31, [0, 2, 4]), (99, [0, 2, 4])],
)
def test_whole_entries_stay_as_long_as_the_others_are_too_few(
    octets_max: int, kept: list[int]
) -> None:
    tail = Tail(octets_max)
    tail.keep([Entry(0, numbered(0, 2, 10)), Entry(2, numbered(2, 4, 10))])
    tail.keep([Entry(4, numbered(4, 5, 10))])
    assert [entry.first for entry in tail] == kept


def test_a_replayed_message_is_there_already() -> None:
    tail = Tail(100)
    tail.keep([Entry(0, numbered(0, 2, 10), echo=True)])
    assert list(tail) == []


def test_a_smaller_tail_forgets_the_oldest_and_a_clean_end_everything() -> None:
    tail = Tail(100)
    tail.keep([Entry(n, numbered(n, n + 1, 10)) for n in range(5)])
    tail.resize(20)
    assert [entry.first for entry in tail] == [3, 4]
    tail.forget()
    assert list(tail) == []
    tail.keep([Entry(5, numbered(5, 6, 10))])
    assert [entry.first for entry in tail] == [5]


def test_a_tail_of_no_size_keeps_nothing() -> None:
    tail = Tail(100)
    tail.keep([Entry(0, numbered(0, 2, 0))])
    tail.resize(0)
    assert list(tail) == []
