"""Damage anywhere in a spool: every octet of every file in turn."""

from collections.abc import Mapping

import pytest

from relay.core.batch import Batch
from tests.core.parts import numbered
from tests.spool.parts import OCTETS, FakeDirectory, opened, put, read_all

SETTLED = 4  # in the middle of the second batch
DROPPED = (6, 12)
SKIPPED = (24, 30)
END = 36
BATCH = 3  # messages
HELD = [n for n in range(SETTLED, END)
        if not DROPPED[0] <= n < DROPPED[1] and not SKIPPED[0] <= n < SKIPPED[1]]  # fmt: skip


def spool() -> Mapping[str, bytes]:
    """Five segments, one of them dropped; a hole that nobody has written; a cursor of two slots."""
    directory = FakeDirectory()
    store = opened(directory)
    put(store, *[BATCH] * 8)
    store.commit()
    store.settle(SETTLED - 1)
    store.drop(*DROPPED)
    store.append([(SKIPPED[1], _batch(SKIPPED[1]))])
    put(store, BATCH)
    store.commit()
    store.settle(SETTLED)
    store.save_cursor(sync=True)
    store.close()
    assert len(directory.files) == 1 + 4
    return {name: bytes(data) for name, data in directory.files.items()}


def _batch(first: int) -> Batch:
    return numbered(first, first + BATCH, OCTETS)


@pytest.mark.parametrize("bits", [0x01, 0xFF])
def test_every_flipped_octet_is_damage_counted_exactly_and_nothing_else_is_lost(bits: int) -> None:
    good = spool()
    for name, content in good.items():
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= bits
            check({**good, name: bytes(changed)}, name)


def check(files: Mapping[str, bytes], damaged_file: str) -> None:
    """Open it: exactly what is damaged is told, put aside and counted, all else is there."""
    directory = FakeDirectory({name: bytearray(content) for name, content in files.items()})
    store = opened(directory)
    found, ranges = read_all(store)
    lost = [n for first, end in ranges for n in range(first, end)]
    comes_again = SETTLED - store.settled
    assert comes_again == 0 or damaged_file == "cursor"
    assert 0 <= comes_again <= 1, "the other slot of the cursor is good"
    assert sorted(found + lost) == [*range(store.settled, SETTLED), *HELD]
    assert store.report.messages == len(found) + len(lost)
    assert store.report.torn_octets == 0
    assert store.next == END
    if lost:
        assert damaged_file != "cursor"
        assert len({n // BATCH for n in lost}) == 1, "one batch, the one that is damaged"
        assert any(content in files[damaged_file] for content in directory.aside.values())
    put(store, 1)
    store.commit()
    assert read_all(opened(directory.kill()))[0] == [*found, END]


def test_without_a_cursor_everything_on_disk_comes_again_whatever_else_is_damaged() -> None:
    good = {**spool(), "cursor": b"\xff" * 4608}
    dropped = [*range(*DROPPED), *range(*SKIPPED)]  # nobody knows any more
    for name, content in good.items():
        for place in range(0 if name != "cursor" else len(content), len(content)):
            changed = bytearray(content)
            changed[place] ^= 0x55
            files = {it: bytearray(data) for it, data in {**good, name: changed}.items()}
            store = opened(FakeDirectory(files))
            assert store.report.cursor_lost
            found, ranges = read_all(store)
            lost = [n for first, end in ranges for n in range(first, end)]
            assert sorted(found + lost) == [*range(store.next)]
            assert store.report.messages == store.next
            assert store.next == END or (store.next == END - BATCH and store.report.torn_octets)
            more = [n for n in lost if n not in dropped]
            assert len({n // BATCH for n in more}) <= 1
