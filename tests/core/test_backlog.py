from relay.core.backlog import Backlog, Segment
from relay.core.memory import MESSAGE_OVERHEAD
from relay.core.queue import Entry
from tests.core.parts import numbered


def unwritten(*sizes: int) -> Backlog:
    backlog = Backlog("always", 1 << 20)
    first = 0
    for size in sizes:
        backlog.add(Entry(first, numbered(first, first + size, 10)))
        first += size
    return backlog


def spans(backlog: Backlog) -> list[tuple[int, int]]:
    return [(entry.first, entry.end) for entry in backlog.unwritten]


def test_a_backlog_is_full_when_disk_or_memory_is() -> None:
    backlog = unwritten(2)
    assert not backlog.full(1 << 20)
    assert backlog.full(20 + 2 * MESSAGE_OVERHEAD)
    backlog.octets = (1 << 20) - 20
    assert backlog.full(1 << 20)


def test_only_whole_entries_leave() -> None:
    backlog = unwritten(2, 3)
    assert [entry.first for entry in backlog.pop_unwritten(4)] == [0]
    assert (backlog.unwritten_messages, backlog.unwritten_octets) == (3, 30)


def test_an_entry_can_be_made_to_begin_anywhere() -> None:
    backlog = unwritten(2, 3)
    backlog.split_at(3)
    backlog.split_at(2)
    assert spans(backlog) == [(0, 2), (2, 3), (3, 5)]
    assert (backlog.unwritten_messages, backlog.unwritten_octets) == (5, 50)


def test_what_has_left_already_is_trimmed_off() -> None:
    backlog = unwritten(3, 1)
    backlog.trim_first(2)
    assert spans(backlog) == [(2, 3), (3, 4)]
    assert (backlog.unwritten_messages, backlog.unwritten_octets) == (2, 20)


def test_a_gap_skips_the_segments_that_were_dropped() -> None:
    backlog = unwritten(10)
    backlog.gap, backlog.gap_messages = 2, 8
    segments = [Segment(0, 4, 40), Segment(4, 6, 20), Segment(6, 9, 30)]
    backlog.segments, backlog.octets = segments, 90
    assert backlog.drop_segment(segments[1]) == 2
    assert backlog.gap == 2
    backlog.pass_gap(4, 2)
    assert backlog.gap == 6
    assert backlog.drop_segment(segments[2]) == 3
    assert (backlog.gap, backlog.gap_messages) == (9, 1)
    assert backlog.octets == 40
    assert [it.first for it in backlog.dropped] == [4, 6]
    backlog.pass_gap(10, 1)
    assert backlog.gap is None


def test_holes_that_follow_each_other_are_one() -> None:
    """However much is dropped behind what is lent: finding a number's hole costs the same."""
    backlog = unwritten(100)
    backlog.gap, backlog.gap_messages = 0, 100
    segments = [Segment(n, n + 10, 100) for n in range(10, 90, 10)]
    backlog.segments, backlog.octets = segments, 800
    for segment in [*segments[:3], *segments[4:]]:
        backlog.drop_segment(segment)
    assert [(it.first, it.end) for it in backlog.holes] == [(10, 40), (50, 90)]
    assert backlog.in_holes(0, 100) == 70
    assert backlog.in_holes(35, 55) == 10
    assert [backlog.hole_at(n) is not None for n in (9, 10, 39, 40, 49, 50, 89, 90)] == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    backlog.pass_gap(10, 10)
    assert backlog.gap == 40
    assert backlog.gap_messages == 20


def test_what_was_dropped_leaves_when_no_process_can_find_it_any_more() -> None:
    backlog = unwritten(30)
    backlog.gap, backlog.gap_messages = 5, 25
    segments = [Segment(0, 10, 10), Segment(10, 20, 10), Segment(20, 30, 10)]
    backlog.segments, backlog.octets = segments, 30
    for segment in segments:
        backlog.drop_segment(segment)
    assert backlog.pass_dropped(9) == 0
    assert backlog.pass_dropped(10) == 5
    assert backlog.pass_dropped(10) == 0
    assert backlog.pop_dropped(2) == 10
    assert [it.first for it in backlog.dropped] == [20]
    assert backlog.pop_dropped(1) == 10
    assert backlog.unbooked == {}
