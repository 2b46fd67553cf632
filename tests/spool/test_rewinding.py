"""Delivering again what is still on disk: exactly that, and nothing of it counts as damage."""

from pathlib import Path

import pytest

from relay.spool.cursor import HOLES_MAX
from relay.spool.recovery import Known
from relay.spool.rewinding import Rewound, rewind
from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from tests.core.parts import numbered
from tests.spool.parts import OCTETS, put, read_all


def open_store(path: Path, *, settled_min: int = 0) -> Store:
    """A store of small segments."""
    directory = SystemDirectory(str(path))
    store = Store.open(directory, octets_max=1 << 20, known=Known(settled=settled_min))
    store._segment_octets = 600
    return store


def fill(path: Path, *sizes: int, settled: int = 0) -> None:
    """A spool with batches of so many messages; its process was killed."""
    store = open_store(path)
    put(store, *sizes)
    store.commit()
    store.settle(settled)
    store.save_cursor(sync=False)
    store.close()


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))


def rewound(path: Path, first: int = 0, *, settled_min: int = 0) -> Rewound:
    directory = SystemDirectory(str(path))
    return rewind(directory, first, known=Known(settled=settled_min))


def delivered(path: Path) -> list[int]:
    """What the next process delivers; there is no damage."""
    store = open_store(path)
    found, damaged = read_all(store)
    assert damaged == []
    assert len(found) == store.report.messages
    store.close()
    return found


def test_what_has_left_and_is_on_disk_comes_again(tmp_path: Path) -> None:
    fill(tmp_path, *[5] * 20, settled=34)
    oldest = int(segments(tmp_path)[0].stem)
    assert 0 < oldest < 34
    assert rewound(tmp_path, settled_min=36) == Rewound(oldest, 100, 36 - oldest, 64)
    assert delivered(tmp_path) == [*range(oldest, 100)]


def test_segments_that_have_left_as_a_whole_are_kept_for_it(tmp_path: Path) -> None:
    """After kill -9 the crash page knows that all was delivered, and the disk still has it."""
    fill(tmp_path, *[5] * 20, settled=10)
    oldest = int(segments(tmp_path)[0].stem)
    count = len(segments(tmp_path))
    assert rewound(tmp_path, settled_min=100) == Rewound(oldest, 100, 100 - oldest, 0)
    assert len(segments(tmp_path)) == count
    assert delivered(tmp_path) == [*range(oldest, 100)]


def test_it_may_begin_later(tmp_path: Path) -> None:
    fill(tmp_path, *[5] * 20, settled=34)
    assert rewound(tmp_path, 33) == Rewound(33, 100, 1, 66)
    assert rewound(tmp_path, 90) == Rewound(33, 100, 0, 67)
    assert delivered(tmp_path) == [*range(33, 100)]


def test_what_is_on_disk_no_more_is_a_hole(tmp_path: Path) -> None:
    fill(tmp_path, *[5] * 20)
    gone, after = segments(tmp_path)[1:3]
    gone.unlink()
    hole = set(range(int(gone.stem), int(after.stem)))
    assert rewound(tmp_path, settled_min=80).messages == 80 - len(hole)
    assert delivered(tmp_path) == [n for n in range(100) if n not in hole]


def test_what_was_never_written_is_a_hole(tmp_path: Path) -> None:
    """Delivered before the disk took it; the cursor has passed and forgotten that."""
    store = open_store(tmp_path)
    store._segment_octets = 1 << 20
    put(store, 5)
    store.append([(9, numbered(9, 20, OCTETS))])
    store.commit()
    store.settle(12)
    store.save_cursor(sync=True)
    store.close()
    assert rewound(tmp_path) == Rewound(0, 20, 8, 8)
    assert delivered(tmp_path) == [*range(5), *range(9, 20)]


def test_with_more_holes_than_a_cursor_can_name_it_begins_behind_the_first_ones(
    tmp_path: Path,
) -> None:
    fill(tmp_path, *[5] * 120)
    for file in segments(tmp_path)[1:-2:2]:
        file.unlink()
    assert len(segments(tmp_path)) > HOLES_MAX + 3
    done = rewound(tmp_path, settled_min=590)
    assert 0 < done.first < 590
    found = delivered(tmp_path)
    assert found[0] == done.first
    assert len(found) == done.messages + 10


def test_nothing_is_there_to_come_again(tmp_path: Path) -> None:
    assert rewound(tmp_path) == Rewound(0, 0, 0, 0)
    store = open_store(tmp_path)
    put(store, 5)
    store.commit()
    store.settle(5)
    store.save_cursor(sync=True)
    store.close()
    assert rewound(tmp_path) == Rewound(5, 5, 0, 0)
    assert delivered(tmp_path) == []


def test_a_spool_in_use_is_left_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(BlockingIOError):
        rewound(tmp_path)
    store.close()
