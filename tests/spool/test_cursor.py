import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.spool.cursor import HOLES_MAX, NAME, SLOT_OCTETS, Cursor, CursorFile, newest, pack
from tests.spool.parts import FakeDirectory

STORE = b"0123456789abcdef"


def written(*cursors: Cursor) -> bytearray:
    content = bytearray(8192)
    for cursor in cursors:
        at, slot = pack(cursor)
        content[at : at + len(slot)] = slot
    return content


def cursor(generation: int, *holes: tuple[int, int]) -> Cursor:
    return Cursor(STORE, generation, 10 * generation, 10 * generation + 5, list(holes))


def test_the_newest_of_two_slots_counts() -> None:
    for generation in (1, 2, 7):
        content = bytes(written(cursor(generation), cursor(generation + 1)))
        assert newest(content) == cursor(generation + 1)


def test_a_slot_that_is_damaged_anywhere_leaves_the_other() -> None:
    content = written(cursor(4), cursor(5, (60, 70)))
    at, slot = pack(cursor(5, (60, 70)))
    for place in range(at, at + len(slot)):
        changed = bytearray(content)
        changed[place] ^= 1
        assert newest(bytes(changed)) == cursor(4)


def test_a_torn_write_leaves_the_other() -> None:
    old = written(cursor(4))
    at, slot = pack(cursor(5))
    for octets in range(SLOT_OCTETS):
        torn = bytearray(old)
        torn[at : at + octets] = slot[:octets]
        assert newest(bytes(torn)) in (cursor(4), cursor(5))


def test_as_many_holes_as_there_is_room_for() -> None:
    full = cursor(1, *[(n, n + 1) for n in range(0, 2 * HOLES_MAX, 2)])
    assert newest(bytes(written(full))) == full
    assert len(pack(full)[1]) == SLOT_OCTETS


@given(st.binary(max_size=9000))
def test_any_bytes_are_no_cursor(content: bytes) -> None:
    assert newest(content) is None


# -- the file


def settled_at(number: int) -> Cursor:
    return Cursor(STORE, 0, number, number)


def saved(*numbers: int) -> tuple[CursorFile, FakeDirectory]:
    """A file to which these were saved, the last one with a sync."""
    directory = FakeDirectory()
    file = CursorFile(directory, None)
    for number in numbers:
        file.save(settled_at(number), sync=number == numbers[-1])
    directory.sync()
    return file, directory


def on_disk(directory: FakeDirectory) -> int | None:
    """What is durable, when every write since has been torn."""
    torn = directory.crash(directory.pending).files[NAME]
    for place in {change.offset for change in directory.pending}:
        torn[place + SLOT_OCTETS // 2] ^= 0xFF
    found = newest(bytes(torn))
    return found.settled if found else None


@pytest.mark.parametrize("synced", [1, 2, 3, 4])
def test_however_many_writes_are_torn_what_was_synced_last_is_there(synced: int) -> None:
    file, directory = saved(*range(1, synced + 1))
    for number in range(synced + 1, synced + 6):
        file.save(settled_at(number), sync=False)
        assert on_disk(directory) == synced
        found = newest(bytes(directory.files[NAME]))
        assert found is not None
        assert found.settled == number, "the newest counts"
    file.save(settled_at(100), sync=True)
    file.save(settled_at(101), sync=False)
    assert on_disk(directory) == 100


def test_after_a_failed_sync_another_descriptor_writes_the_same_slot() -> None:
    file, directory = saved(1)

    def fault(kind: str, _: str) -> None:
        if kind == "sync":
            raise OSError(errno.EIO, "fault")

    directory.fault = fault
    with pytest.raises(OSError, match="fault"):
        file.save(settled_at(2), sync=True)
    directory.fault = lambda *_: None
    assert on_disk(directory) == 1
    file.save(settled_at(3), sync=True)  # the fake refuses a second sync of the old descriptor
    assert on_disk(directory) == 3


def test_what_was_found_is_durable_before_the_other_slot_is_written_to() -> None:
    file, directory = saved(1)
    file.save(settled_at(2), sync=False)
    directory = directory.kill()
    found = newest(bytes(directory.files[NAME]))
    file = CursorFile(directory, found)
    assert on_disk(directory) == 2
    file.save(settled_at(3), sync=False)
    assert on_disk(directory) == 2
