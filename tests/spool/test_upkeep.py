"""Changing a spool while no relay runs: the crash page and the next start say the same."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from relay.spool.cursor import HOLES_MAX
from relay.spool.page import CrashPage, PipeRecord
from relay.spool.store import Store
from relay.spool.upkeep import Range, give_book, make_way, purge, rewind
from relay.system.directory import SystemDirectory
from tests.spool.parts import put, read_all
from tests.spool.real import fill, open_store, segments
from tests.spool.test_page import Memory

BOOT = "this boot"
PIPE = "siem"


class State:
    """A state directory between two processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spool = path / "spool" / PIPE
        self.file = Memory()

    def page(self) -> CrashPage:
        return CrashPage(self.file, BOOT, begin=False)

    def begin(self, *, boot: str = BOOT, **records: PipeRecord | None) -> None:
        """What the process before has left on the page."""
        page = CrashPage(self.file, boot)
        for name, it in records.items():
            if it is not None:
                page.amend(name, it)

    def next_start(self, pipe: str = PIPE) -> tuple[list[int], int, int]:
        """What the next process delivers, and books as recovered and as lost in the crash."""
        page = self.page()
        used, believed = page.before.get(pipe), page.believed().get(pipe)
        store = Store.open(
            SystemDirectory(str(self.path / "spool" / pipe)),
            octets_max=1 << 20,
            next_min=used.next if used else 0,
            settled_min=believed.head if believed else 0,
        )
        try:
            found, damaged = read_all(store)
            assert damaged == []
            messages = store.report.messages
            assert len(found) == messages
            lost = page.take_lost(pipe, messages)
            return found, messages + lost, lost
        finally:
            store.close()


def record(received: int, gone: int, *, at_risk: int = 0) -> PipeRecord:
    return PipeRecord(received, 0, 0, gone, 0, received, gone, at_risk)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def directory(state: State) -> SystemDirectory:
    return SystemDirectory(str(state.spool))


# -- purge


@pytest.mark.parametrize("boot", [BOOT, "another boot"])
def test_what_is_thrown_away_is_neither_recovered_nor_lost(state: State, boot: str) -> None:
    fill(state.spool, *[5] * 20, settled=30)
    state.begin(boot=boot, siem=record(100, 30))
    assert purge(directory(state), state.page(), PIPE, 1000) == Range(30, 100, 70)
    assert state.next_start() == ([], 0, 0)
    assert segments(state.spool) == []
    assert purge(directory(state), state.page(), PIPE, 1000) == Range(100, 100, 0)


def test_a_part_may_be_thrown_away(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=30)
    state.begin(siem=record(100, 30))
    assert purge(directory(state), state.page(), PIPE, 52) == Range(30, 52, 22)
    assert state.next_start() == ([*range(52, 100)], 48, 0)


def test_what_only_memory_held_is_still_told_as_lost(state: State) -> None:
    """Of 120 messages 20 were not on disk when the process was killed, or so the page said."""
    fill(state.spool, *[5] * 20)
    state.begin(siem=record(120, 0, at_risk=20))
    assert purge(directory(state), state.page(), PIPE, 100).messages == 100
    assert state.next_start() == ([], 20, 20)


def test_what_is_on_disk_although_the_page_calls_it_at_risk_is_not_told_twice(
    state: State,
) -> None:
    fill(state.spool, *[5] * 20)
    state.begin(siem=record(100, 0, at_risk=30))
    assert purge(directory(state), state.page(), PIPE, 100).messages == 100
    assert state.next_start() == ([], 0, 0)


def test_numbers_that_were_delivered_behind_the_cursor_are_not_thrown_away(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=30)
    state.begin(siem=record(100, 60))
    assert purge(directory(state), state.page(), PIPE, 70) == Range(60, 70, 10)


def test_holes_are_no_messages(state: State) -> None:
    store = open_store(state.spool)
    put(store, *[5] * 20)
    store.commit()
    first, end, _ = store.segments()[1]
    store.drop(first)
    store.save_cursor(sync=True)
    store.close()
    state.begin()
    assert purge(directory(state), state.page(), PIPE, 100).messages == 100 - (end - first)


def test_a_spool_in_use_is_left_alone(state: State) -> None:
    store = open_store(state.spool)
    state.begin()
    with pytest.raises(BlockingIOError):
        purge(directory(state), state.page(), PIPE, 100)
    with pytest.raises(BlockingIOError):
        rewind(directory(state), state.page(), PIPE)
    store.close()


# -- rewind


def test_what_has_left_and_is_on_disk_comes_again(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=34)
    oldest = int(segments(state.spool)[0].stem)
    assert 0 < oldest < 34
    state.begin(siem=record(100, 36))
    done = rewind(directory(state), state.page(), PIPE)
    assert done == Range(oldest, 36, 36 - oldest)
    assert state.next_start() == ([*range(oldest, 100)], 100 - oldest, 0)


def test_it_may_begin_later(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=34)
    state.begin(siem=record(100, 34))
    assert rewind(directory(state), state.page(), PIPE, 33) == Range(33, 34, 1)
    assert state.next_start()[0] == [*range(33, 100)]
    assert rewind(directory(state), state.page(), PIPE, 90) == Range(33, 33, 0)
    assert state.next_start()[0] == [*range(33, 100)]


def test_what_memory_lost_is_told_all_the_same(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=34)
    state.begin(siem=record(120, 34, at_risk=20))
    rewind(directory(state), state.page(), PIPE, 33)
    assert state.next_start() == ([*range(33, 100)], 87, 20)


def test_what_is_on_disk_no_more_is_a_hole(state: State) -> None:
    fill(state.spool, *[5] * 20)
    gone, after = segments(state.spool)[1:3]
    gone.unlink()
    state.begin(siem=record(100, 80))
    done = rewind(directory(state), state.page(), PIPE)
    hole = set(range(int(gone.stem), int(after.stem)))
    assert done == Range(0, 80, 80 - len(hole))
    assert state.next_start()[0] == [n for n in range(100) if n not in hole]


def test_with_more_holes_than_a_cursor_can_name_it_begins_behind_the_first_ones(
    state: State,
) -> None:
    fill(state.spool, *[5] * 120)
    for file in segments(state.spool)[1:-2:2]:
        file.unlink()
    left = segments(state.spool)
    assert len(left) > HOLES_MAX + 3
    state.begin(siem=record(600, 590))
    done = rewind(directory(state), state.page(), PIPE)
    assert 0 < done.first < 590
    found, recovered, lost = state.next_start()
    assert found[0] == done.first
    assert (recovered, lost) == (len(found), 0)
    assert len(found) == done.messages + 10


def test_an_empty_spool_has_nothing_to_deliver_again(state: State) -> None:
    fill(state.spool, 5, settled=5)
    state.begin(siem=record(5, 5))
    assert rewind(directory(state), state.page(), PIPE).messages == 0
    assert state.next_start() == ([], 0, 0)


def test_with_its_cursor_gone_everything_comes_again_anyway(state: State) -> None:
    fill(state.spool, *[5] * 4)
    (state.spool / "cursor").unlink()
    state.begin()
    assert rewind(directory(state), state.page(), PIPE).messages == 0
    assert state.next_start()[0] == [*range(20)]


# -- another pipe


def moved(state: State, records: Sequence[PipeRecord | None]) -> tuple[list[int], int, int]:
    """What the other pipe begins with."""
    state.begin(siem=records[0], other=records[1])
    page = state.page()
    make_way(page, "other")
    state.spool.rename(state.path / "spool" / "other")
    give_book(state.page(), PIPE, "other")
    return state.next_start("other")


@pytest.mark.parametrize("theirs", [None, record(5000, 5000), record(3, 3)])
def test_another_pipe_delivers_what_this_one_held(state: State, theirs: PipeRecord | None) -> None:
    fill(state.spool, *[5] * 20, settled=30)
    assert moved(state, [record(100, 30), theirs]) == ([*range(30, 100)], 70, 0)
    old = state.page().believed()[PIPE]
    assert (old.held, old.at_risk, old.next, old.head) == (0, 0, 100, 100)


def test_what_both_lost_in_the_crash_is_told_for_the_other(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=30)
    mine, theirs = record(110, 30, at_risk=10), record(7, 0, at_risk=7)
    assert moved(state, [mine, theirs]) == ([*range(30, 100)], 87, 17)


def test_a_move_that_is_cut_short_loses_nothing(state: State) -> None:
    """Killed between the move and the book: it may come twice, it is not skipped."""
    fill(state.spool, *[5] * 20, settled=30)
    state.begin(siem=record(100, 34), other=record(5000, 5000))
    make_way(state.page(), "other")
    state.spool.rename(state.path / "spool" / "other")
    assert state.next_start("other")[0] == [*range(30, 100)]


def test_without_a_page_of_this_boot_the_cursor_decides(state: State) -> None:
    fill(state.spool, *[5] * 20, settled=30)
    state.begin(boot="another boot", other=replace(record(5000, 0), head=4000))
    make_way(state.page(), "other")
    state.spool.rename(state.path / "spool" / "other")
    give_book(state.page(), PIPE, "other")
    assert state.next_start("other")[0] == [*range(30, 100)]
