"""Looking at a spool: nothing is changed, whatever a relay does there meanwhile is no damage."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from relay.spool.inspection import Inspection
from relay.spool.reader import Damaged, Reader
from relay.system.directory_view import DirectoryView
from tests.core.parts import numbered
from tests.spool.parts import OCTETS, put
from tests.spool.real import content, fill, inspected, open_store, segments, sort, spoil


def test_what_is_held_is_read_while_its_store_is_open_and_nothing_changes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, *[5] * 20)
    store.commit()
    store.settle(32)
    store.save_cursor(sync=True)
    before = content(tmp_path)
    with inspected(tmp_path) as spool:
        assert (spool.settled, spool.next) == (32, 100)
        assert spool.found.report.messages == spool.messages(0, 1000) == 68
        assert sort(spool.read(spool.settled, spool.next)) == ([*range(32, 100)], [], [])
        assert sort(spool.read(40, 43)) == ([*range(40, 45)], [], []), "whole frames"
        assert spool.oldest < 32
        assert sort(spool.read(0, 1000))[0] == [*range(spool.oldest, 100)], "what has left as well"
    assert content(tmp_path) == before
    put(store, 1)  # it can still be written to
    store.close()


def test_the_crash_page_may_know_better_what_has_left(tmp_path: Path) -> None:
    fill(tmp_path, 10, 10, settled=3)
    with inspected(tmp_path, settled_min=12) as spool:
        assert (spool.settled, spool.next, spool.found.report.messages) == (12, 20, 8)


def test_a_torn_end_is_seen_and_stays(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(b"half a frame")
    before = content(tmp_path)
    with inspected(tmp_path) as spool:
        assert spool.found.report.torn_octets == len(b"half a frame")
        assert sort(spool.read(0, 3)) == ([0, 1, 2], [], [])
    assert content(tmp_path) == before


def test_a_spool_that_is_not_there_is_no_spool(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), inspected(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    with inspected(tmp_path) as spool:
        assert sort(spool.read(0, 10)) == ([], [], [])
    assert content(tmp_path) == {}


@pytest.fixture
def read_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One item a read, so that there is something left to happen in between."""
    monkeypatch.setattr("relay.spool.inspection.CHUNK_OCTETS", 1)


@pytest.mark.usefixtures("read_by_one")
def test_what_is_delivered_while_it_is_read_has_left_and_is_no_damage(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, *[5] * 40)
    store.commit()
    with inspected(tmp_path) as spool:
        items = spool.read(0, spool.next)
        assert sort(iter([next(items)]))[0] == [*range(5)]
        store.settle(150)
        store.save_cursor(sync=True)
        found, damaged, left = sort(items)
    assert damaged == []
    assert sorted(found + left) == [*range(5, 200)]
    assert found[-50:] == [*range(150, 200)]
    assert left
    store.close()


@pytest.mark.usefixtures("read_by_one")
def test_what_is_dropped_while_it_is_read_is_no_damage(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, *[5] * 40)
    store.commit()
    with inspected(tmp_path) as spool:
        items = spool.read(0, spool.next)
        next(items)
        gone: set[int] = set()
        for first, end, _ in store.segments()[2:6]:
            store.drop(first)
            gone |= set(range(first, end))
        found, damaged, left = sort(items)
    assert (damaged, left) == ([], [])
    assert found == [n for n in range(5, 200) if n not in gone]
    store.close()


def test_a_hole_that_the_cursor_has_forgotten_is_no_damage(tmp_path: Path) -> None:
    """Numbers that were never written, since they were delivered before the disk took them."""
    store = open_store(tmp_path)
    store._segment_octets = 1 << 20
    put(store, 5)
    store.append([(9, numbered(9, 20, OCTETS))])
    store.commit()
    store.settle(12)
    store.save_cursor(sync=True)
    store.close()
    with inspected(tmp_path) as spool:
        assert sort(spool.read(0, 20)) == ([*range(5), *range(9, 20)], [], [*range(5, 9)])
        assert sort(spool.read(spool.settled, 20)) == ([*range(12, 20)], [], [])


@pytest.mark.usefixtures("read_by_one")
def test_what_comes_while_it_is_read_is_not_waited_for(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, *[5] * 10)
    store.commit()
    with inspected(tmp_path) as spool:
        items = spool.read(0, spool.next)
        next(items)
        put(store, *[5] * 10)
        store.commit()
        assert sort(items) == ([*range(5, 50)], [], [])
    store.close()


@pytest.mark.usefixtures("read_by_one")
def test_damage_is_told_exactly_also_while_the_store_is_open(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, *[5] * 40)
    store.commit()
    store.save_cursor(sync=True)
    spoil(segments(tmp_path)[1], 200)
    first = int(segments(tmp_path)[1].stem)
    with inspected(tmp_path) as spool:
        items = spool.read(0, spool.next)
        next(items)
        put(store, *[5] * 10)
        store.commit()
        store.save_cursor(sync=True)
        found, damaged, left = sort(items)
    assert left == []
    assert len(damaged) == 5
    assert first <= damaged[0]
    assert sorted(found + damaged) == [*range(5, 200)]
    store.close()


def test_a_deleted_segment_is_damage(tmp_path: Path) -> None:
    fill(tmp_path, *[5] * 40)
    gone, after = segments(tmp_path)[2:4]
    gone.unlink()
    with inspected(tmp_path) as spool:
        found, damaged, left = sort(spool.read(0, spool.next))
    assert (damaged, left) == ([*range(int(gone.stem), int(after.stem))], [])
    assert sorted(found + damaged) == [*range(200)]


@pytest.mark.parametrize("settled", [0, 30, 60])
def test_what_is_written_between_the_names_and_the_cursor_is_not_missed(
    tmp_path: Path, settled: int
) -> None:
    """The cursor says that more is durable than the files that were listed before it was read."""
    store = open_store(tmp_path)
    put(store, *[5] * 10)
    store.commit()
    store.save_cursor(sync=True)

    class Slow(DirectoryView):
        def sizes(self) -> Mapping[str, int]:
            found = super().sizes()
            if store.next < 200:
                put(store, *[5] * 5)
                store.commit()
                store.settle(settled)
                store.save_cursor(sync=True)
            return found

    directory = Slow(str(tmp_path))
    directory.open()
    spool = Inspection(directory)
    seen = spool.found
    first_look = Reader(directory).read(
        seen.parts, seen.cursor.holes, seen.store, spool.settled, spool.next, 1 << 20
    )
    assert not any(isinstance(item, Damaged) for item in first_look)
    found, damaged, left = sort(spool.read(0, 10_000))
    assert (damaged, directory.damaged) == ([], {})
    assert spool.found.report.messages == max(0, spool.next - settled)
    assert {*found, *left} >= {*range(settled, spool.next)}
    spool.close()
    store.close()


def test_no_look_at_a_busy_spool_finds_damage(tmp_path: Path) -> None:
    """A writer commits, delivers, drops and unlinks as fast as it can; 200 looks read all of it."""
    store = open_store(tmp_path)
    put(store, 5)
    store.commit()
    store.save_cursor(sync=True)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            put(store, 5, 1, 9)
            store.commit()
            store.settle(max(store.settled, store.next - 60))
            store.save_cursor(sync=False)
            if store.next % 7 == 0 and len(store.segments()) > 2:
                store.drop(store.segments()[1][0])

    writer = threading.Thread(target=work)
    writer.start()
    try:
        read = 0
        for _ in range(200):
            with inspected(tmp_path) as spool:
                found, damaged, _ = sort(spool.read(spool.settled, spool.next))
                assert damaged == []
                assert found == sorted(set(found))
                read += len(found)
        assert read > 200
    finally:
        over.set()
        writer.join()
        store.close()
