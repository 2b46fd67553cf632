from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from relay.core.memory import MESSAGE_OVERHEAD
from relay.core.ring import BLOCK_LINES, Lines, Ring, Rings


def weight(lines: int, octets: int) -> int:
    return octets + lines * MESSAGE_OVERHEAD


def test_the_newest_lines_stay_and_the_others_are_counted() -> None:
    ring = Ring(weight(2, 8))
    ring.append([b"one", b"two", b"three"])
    assert list(ring.lines) == [b"two", b"three"]
    assert (ring.first, ring.overwritten) == (1, 1)
    ring.append([])
    ring.append([b"4"])
    assert list(ring.lines) == [b"three", b"4"]
    assert (ring.first, ring.overwritten) == (2, 2)


def test_one_line_stays_however_long_it_is() -> None:
    ring = Ring(10)
    ring.append([b"a", b"b" * 100])
    assert list(ring.lines) == [b"b" * 100]
    assert ring.octets == weight(1, 100)


def test_lines_are_read_by_number() -> None:
    ring = Ring(weight(3, 3))
    ring.append([b"0", b"1", b"2", b"3", b"4"])
    assert ring.since(0, 10) == (2, [b"2", b"3", b"4"])
    assert ring.since(3, 1) == (3, [b"3"])
    assert ring.since(5, 10) == (5, [])
    assert ring.since(99, 10) == (99, [])


class Counting(deque[list[bytes]]):
    looked_up = 0

    def __getitem__(self, index: object) -> list[bytes]:  # type: ignore[override]
        Counting.looked_up += 1
        return super().__getitem__(index)  # type: ignore[index]


def test_a_read_in_the_middle_looks_at_what_it_gives_only() -> None:
    ring = Ring(1 << 30)
    ring.append([b"%d" % n for n in range(100 * BLOCK_LINES)])
    ring.lines.blocks = Counting(ring.lines.blocks)
    middle = 50 * BLOCK_LINES - 5
    assert ring.since(middle, 10) == (middle, [b"%d" % n for n in range(middle, middle + 10)])
    assert Counting.looked_up == 3  # two blocks, and the last one for the length


def test_an_overwritten_line_is_let_go_at_once() -> None:
    lines = Lines()
    lines.extend([b"0", b"1"])
    lines.drop(1)
    assert list(lines.blocks) == [[b"", b"1"]]
    lines.drop(1)
    assert not lines.blocks
    assert list(lines) == []


@given(st.lists(st.one_of(st.integers(0, 3 * BLOCK_LINES).map(range), st.integers(0, 2000))))
def test_lines_are_a_queue_with_slices(steps: list[range | int]) -> None:
    lines, wanted, number = Lines(), list[bytes](), 0
    for step in steps:
        if isinstance(step, range):
            new = [b"%d" % (number + n) for n in step]
            lines.extend(new)
            wanted += new
            number += len(step)
        else:
            gone = min(step, len(wanted))
            lines.drop(gone)
            del wanted[:gone]
        assert len(lines) == len(wanted)
        assert list(lines) == wanted
        for start in (0, 1, BLOCK_LINES - 1, len(wanted) // 2, len(wanted) + 3):
            for stop in (0, start, start + 1, start + BLOCK_LINES, len(wanted) + 1):
                assert lines.between(start, stop) == wanted[start:stop]


def test_a_smaller_ring_keeps_the_newest() -> None:
    ring = Ring(1000)
    ring.append([b"0", b"1", b"2"])
    ring.resize(weight(1, 1))
    assert list(ring.lines) == [b"2"]
    assert (ring.first, ring.overwritten) == (2, 2)


def test_rings_outlive_a_reload_by_name() -> None:
    rings = Rings()
    ring = rings.ring("a", 1000)
    ring.append([b"0", b"1"])
    assert rings.ring("a", 1000) is ring
    assert rings.ring("a", weight(1, 1)) is ring
    assert list(ring.lines) == [b"1"]
    other = rings.ring("b", 1000)
    rings.keep_only(["b", "c"])
    assert rings.rings == {"b": other}


@given(st.integers(0, 1000), st.lists(st.lists(st.binary(max_size=100))))
def test_a_ring_holds_the_end_of_what_was_appended(
    octets_max: int, rounds: list[list[bytes]]
) -> None:
    ring = Ring(octets_max)
    everything: list[bytes] = []
    for lines in rounds:
        ring.append(lines)
        everything += lines
        assert list(ring.lines) == everything[ring.first :]
        assert ring.overwritten == ring.first == len(everything) - len(ring.lines)
        assert ring.octets == weight(len(ring.lines), sum(map(len, ring.lines)))
        assert ring.octets <= octets_max or len(ring.lines) == 1
        assert ring.since(0, len(everything)) == (ring.first, list(ring.lines))


def test_clearing_takes_away_what_was_seen_and_keeps_the_numbers() -> None:
    ring = Ring(weight(4, 4))
    ring.append([b"0", b"1", b"2", b"3", b"4", b"5"])
    assert ring.overflowed
    assert ring.clear(4) == 2
    assert not ring.overflowed
    assert (ring.first, list(ring.lines), ring.octets) == (4, [b"4", b"5"], weight(2, 2))
    assert ring.overwritten == 2
    assert ring.clear(3) == 0
    assert ring.clear(99) == 2
    assert (ring.first, ring.octets, len(ring.lines)) == (6, 0, 0)
    ring.append([b"6"])
    assert ring.since(0, 10) == (6, [b"6"])
    ring.append([b"7"] * 4)
    assert ring.overflowed


def test_what_was_overwritten_unseen_is_not_cleared_away() -> None:
    """Between the reading of a ring and its clearing more came than it holds."""
    ring = Ring(weight(2, 2))
    ring.append([b"0", b"1"])
    ring.append([b"2", b"3", b"4"])  # 2 is gone as well, and only 0 and 1 were seen
    assert ring.clear(2) == 0
    assert ring.overflowed
    assert ring.clear(5) == 2
    assert not ring.overflowed


def test_what_another_reader_has_cleared_away_was_seen() -> None:
    ring = Ring(weight(2, 2))
    ring.append([b"0", b"1", b"2"])
    assert ring.clear(3) == 2
    assert ring.clear(1) == 0
    assert not ring.overflowed


def test_a_ring_that_comes_again_has_not_overflowed() -> None:
    rings = Rings()
    rings.ring("recent", weight(1, 1)).append([b"0", b"1"])
    assert rings.ring("recent", weight(1, 1)).overflowed
    rings.keep_only([])
    again = rings.ring("recent", weight(1, 1))
    assert not again.overflowed
    assert again.overwritten == 1
