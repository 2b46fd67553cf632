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
