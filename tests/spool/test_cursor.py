from hypothesis import given
from hypothesis import strategies as st

from relay.spool.cursor import HOLES_MAX, SLOT_OCTETS, Cursor, newest, pack

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
