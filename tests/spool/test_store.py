"""The spool on disk: numbers, recovery, damage, faults."""

import errno
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.spool import segment
from relay.spool.recovery import Known, segment_name
from relay.spool.store import Damaged, Store
from relay.system.directory import SystemDirectory
from tests.core.parts import make_batch, numbered
from tests.spool.parts import OCTETS, FakeDirectory, opened, put, read_all

Fault = Callable[[str, str], None]

# -- order and recovery


def test_what_is_appended_is_read_in_order_whole_and_in_parts() -> None:
    store = opened()
    put(store, 3, 1, 20, 5)
    assert read_all(store) == ([*range(29)], [])
    assert read_all(store, octets_max=1) == ([*range(29)], [])
    [part] = store.read(10, 1)
    assert (part.first, part.end) == (10, 24)
    assert store.read(29, 1) == []


def test_the_next_process_goes_on_where_the_last_one_stopped() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 10, 10)
    store.settle(7)
    store.commit()
    store.save_cursor(sync=True)
    store.close()
    store = opened(directory)
    assert (store.settled, store.next, store.report.messages) == (7, 20, 13)
    assert store.report.lines() == []
    put(store, 2)
    assert read_all(store) == ([*range(7, 22)], [])


def test_all_of_a_batch_survives() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    batch = make_batch(b"", b"\x00\xff\n", b"x" * 5000, listener="net-\udcff", notice=True)
    store.append([(0, batch)])
    [found] = store.read(0, 1)
    again = found.batch  # type: ignore[union-attr]
    assert list(again.messages) == list(batch.messages)
    assert list(again.senders) == list(batch.senders)
    assert (again.listener, again.received_ns, again.octets) == (
        batch.listener, batch.received_ns, batch.octets,
    )  # fmt: skip
    assert (again.zone, again.notice) == (batch.zone, True)


def test_a_large_batch_is_several_frames() -> None:
    store = opened()
    store.append([(0, make_batch(*[b"x" * (3 << 20)] * 3))])
    assert [item.first for item in store.read(0, 1 << 30)] == [0, 1, 2]


def test_settled_segments_are_removed_once_the_cursor_is_durable() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, *[5] * 20)
    store.commit()
    before = len(store.segments())
    store.settle(60)
    synced: list[str] = []
    directory.fault = lambda kind, name: synced.append(f"{kind} {name}")
    store.save_cursor(sync=False)
    assert len(store.segments()) < before
    assert synced.index("sync cursor") < min(
        i for i, it in enumerate(synced) if it.startswith("unlink")
    )
    assert read_all(store) == ([*range(60, 100)], [])
    store.settle(100)
    store.save_cursor(sync=False)
    assert len(store.segments()) <= 1


def test_numbers_are_not_used_again_after_everything_has_left() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 50)
    store.settle(50)
    store.commit()
    store.save_cursor(sync=True)
    store.close()
    store = opened(directory)
    assert (store.settled, store.next, store.report.messages) == (50, 50, 0)


def test_what_is_known_of_another_store_is_not_believed() -> None:
    """A directory was put in the place of another: the numbers it has mean other messages."""
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 9, 1)
    store.commit()
    mine = store.identity
    store.close()
    for other in (b"another store...", mine):
        known = Known(next=25, settled=8, given_up=(9, 25), store=other)
        store = Store.open(directory, octets_max=1 << 20, known=known)
        expected = [8] if other == mine else [*range(10)]
        assert store.identity == mine
        assert store.next == 25, "no number is used twice"
        assert (read_all(store), store.report.messages) == ((expected, []), len(expected))
        store.close()


def test_the_identity_of_a_store_is_made_once() -> None:
    directory = FakeDirectory()
    opened(directory).close()
    identities = {directory.identities}
    for _ in range(2):
        store = opened(directory)
        identities.add(store.identity[0])
        put(store, 1)
        store.commit()
        store.close()
        directory = directory.kill()
    assert identities == {1}


@pytest.mark.parametrize("is_committed", [False, True])
def test_what_was_given_up_is_a_hole_although_it_is_on_disk(is_committed: bool) -> None:
    """A thread has written it behind the deadline of the stop, and made it durable or not."""
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 5, 5, 20)
    if is_committed:
        store.commit()
        store.save_cursor(sync=True)
    store.close()
    known = Known(next=30, given_up=(10, 30), store=store.identity)
    for again in (known, Known()):
        directory = directory.kill()
        store = Store.open(directory, octets_max=1 << 20, known=again)
        assert read_all(store) == ([*range(10)], [])
        assert (store.next, store.report.messages) == (30, 10)
        if again is known:
            store.close()
    put(store, 5)
    store.commit()
    assert read_all(store) == ([*range(10), *range(30, 35)], [])
    store.settle(35)
    store.save_cursor(sync=True)
    assert not [name for name in directory.files if name.endswith(".seg")]


def test_what_is_between_the_disk_and_what_was_given_up_is_a_hole_as_well() -> None:
    """It was delivered before the disk took it, say."""
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 10)
    store.commit()
    store.close()
    known = Known(next=40, given_up=(35, 40), store=store.identity)
    store = Store.open(directory, octets_max=1 << 20, known=known)
    put(store, 2)
    store.commit()
    assert read_all(store) == ([*range(10), 40, 41], [])
    assert store.messages(0, store.next) == 12


def test_numbers_that_the_crash_page_knows_are_used_up_and_a_hole() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 10)
    store.commit()
    store.close()
    store = opened(directory, next_min=25, settled_min=4)
    assert (store.settled, store.next, store.report.messages) == (4, 25, 6)
    put(store, 5)
    store.commit()
    assert read_all(store) == ([*range(4, 10), *range(25, 30)], [])
    store.close()
    store = opened(directory)
    assert store.report.messages == 11
    assert read_all(store) == ([*range(4, 10), *range(25, 30)], [])


def test_a_torn_end_is_cut_off_and_told() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 3, 3)
    store.commit()
    put(store, 3)
    store.close()
    last = directory.files[segment_name(6)]
    whole = bytes(last)
    last += last[64:-7]  # the next frame, and not all of it
    store.close()
    directory.files["cursor"][:] = b""
    store = opened(directory)
    assert (store.next, store.report.messages) == (9, 9)
    assert store.report.torn_octets == len(whole) - 64 - 7
    assert directory.files[segment_name(6)] == whole
    put(store, 1)
    assert read_all(store) == ([*range(10)], [])
    store.close()
    assert opened(directory).report.torn_octets == 0, "recovery is idempotent"


def test_a_torn_end_is_cut_off_also_when_an_empty_segment_follows() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 3)
    store.commit()
    put(store, 3, 3)
    store.close()
    del directory.files[segment_name(0)][-7:]
    del directory.files[segment_name(6)][:]
    store = opened(directory)
    assert (store.next, store.report.messages) == (3, 3)
    assert store.report.torn_octets
    assert read_all(store) == ([0, 1, 2], [])
    assert segment_name(6) not in directory.files
    put(store, 3, 3)
    store.commit()
    assert read_all(opened(directory.crash())) == ([*range(9)], [])


def test_damage_ends_where_the_next_segment_begins() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 1, 1, 1)
    store.commit()
    directory.fault = failing("sync", ".seg", errno.EIO)
    put(store, 1, 1)
    with pytest.raises(OSError, match="fault"):
        store.commit()
    uncut = bytes(directory.files[segment_name(0)])  # a power cut brings it back
    directory.fault = lambda *_: None
    store.restart_after(3)
    put(store, 1)
    store.commit()
    store.close()
    directory.files[segment_name(0)][:] = uncut
    frame = (len(uncut) - 64) // 5
    for damaged in (2, 3):
        directory.files[segment_name(0)][64 + frame * damaged + 30] ^= 1
    assert read_all(opened(directory)) == ([0, 1, 3], [(2, 3)])


def test_both_cursor_slots_damaged_everything_comes_again() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 10)
    store.settle(8)
    store.commit()
    store.save_cursor(sync=True)
    store.close()
    directory.files["cursor"][:] = b"\xff" * len(directory.files["cursor"])
    store = opened(directory)
    assert store.report.cursor_lost
    assert read_all(store) == ([*range(10)], [])


def test_a_start_without_a_cursor_does_not_write_all_of_a_large_spool_again() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, *[5] * 20)
    store.commit()
    names = [segment_name(first) for first, _, _ in store.segments()]
    store.close()
    directory.files["cursor"][:] = b"\xff" * len(directory.files["cursor"])
    written: set[str] = set()
    directory.fault = lambda kind, name: written.add(name) if kind == "write" else None
    store = opened(directory)
    assert written == {*names[-2:], "cursor"}
    assert read_all(store) == ([*range(100)], [])


def test_the_damaged_newer_slot_falls_back_to_the_older() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 10)
    store.settle(3)
    store.save_cursor(sync=True)
    older = bytes(directory.files["cursor"])
    store.settle(8)
    store.save_cursor(sync=True)
    store.close()
    newer = directory.files["cursor"]
    changed = next(i for i, (a, b) in enumerate(zip(newer, older.ljust(len(newer), b"\0"),
                                                    strict=True)) if a != b)  # fmt: skip
    newer[changed] ^= 0xFF
    assert opened(directory).settled == 3


def test_strangers_are_left_alone_and_told() -> None:
    directory = FakeDirectory(strangers=["pipe"])
    directory.files["notes.txt"] = bytearray(b"mine")
    store = opened(directory)
    put(store, 2)
    other = FakeDirectory(identities=9)
    stranger = opened(other)
    put(stranger, 2)
    directory.files[segment_name(900)] = other.files[segment_name(0)]
    store.close()
    store = opened(directory)
    assert {"pipe", "notes.txt", segment_name(900)} <= set(store.report.aliens)
    assert read_all(store) == ([0, 1], [])
    assert directory.files["notes.txt"] == b"mine"


@pytest.mark.parametrize("number", [1 << 63, (1 << 64) - 1, 10**20 - 1])
def test_a_file_with_a_number_that_no_message_gets_is_an_alien(number: int) -> None:
    """Behind a segment of a newer version its name alone would be where the numbers go on."""
    packed = bytearray(segment.header(b"x" * 16, 0)[:60])
    packed[8] = 9
    header = bytes(packed) + zlib.crc32(packed).to_bytes(4, "little")
    files = {segment_name(0): bytearray(header), segment_name(number): bytearray(b"anything")}
    store = opened(FakeDirectory(files=files))
    assert segment_name(number) in store.report.aliens
    assert store.next == 1
    put(store, 1)
    assert read_all(store) == ([1], [(0, 1)])


def test_a_segment_of_a_newer_version_is_left_untouched_and_its_numbers_are_lost() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, *[5] * 10)
    store.close()
    names = sorted(name for name in directory.files if name.endswith(".seg"))
    content = directory.files[names[1]]
    packed = bytearray(content[:60])
    packed[8] = 9
    content[:64] = packed + zlib.crc32(packed).to_bytes(4, "little")
    before = bytes(content)
    store = opened(directory)
    first, after = int(names[1][:20]), int(names[2][:20])
    found, damaged = read_all(store)
    assert damaged == [(first, after)]
    assert found == [*range(first), *range(after, 50)]
    store.settle(50)
    store.save_cursor(sync=True)
    assert directory.files[names[1]] == before


def test_a_deleted_segment_is_an_exact_range() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, *[5] * 10)
    store.close()
    names = sorted(name for name in directory.files if name.endswith(".seg"))
    del directory.files[names[1]]
    found, damaged = read_all(opened(directory))
    first, after = int(names[1][:20]), int(names[2][:20])
    assert damaged == [(first, after)]
    assert found == [*range(first), *range(after, 50)]


# -- faults of the disk


def failing(kind: str, name: str = "", error: int = errno.ENOSPC) -> Fault:
    def fault(what: str, where: str) -> None:
        if what == kind and where.endswith(name):
            raise OSError(error, "fault")

    return fault


@pytest.mark.parametrize("kind", ["write", "allocate", "create"])
def test_a_full_disk_takes_no_half_of_a_batch_and_goes_on_when_there_is_room(kind: str) -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 5)
    store.commit()
    directory.fault = failing(kind, ".seg")
    written = 5
    for _ in range(5):
        try:
            put(store, 5)
            written += 5
        except OSError:
            assert store.next == written
    assert read_all(store) == ([*range(written)], [])
    directory.fault = lambda *_: None
    put(store, 5)
    store.commit()
    assert read_all(opened(directory.kill())) == ([*range(written + 5)], [])


def test_after_a_failed_sync_the_same_is_written_to_another_file() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 4)
    store.commit()
    put(store, 4)
    directory.fault = failing("sync", ".seg", errno.EIO)
    with pytest.raises(OSError, match="fault"):
        store.commit()
    directory.fault = lambda *_: None
    store.restart_after(store.committed)
    assert store.next == 4
    put(store, 4)
    store.commit()  # the fake refuses a second sync of the descriptor that failed
    assert len(store.segments()) == 2
    assert read_all(opened(directory.crash())) == ([*range(8)], [])


def test_what_a_failed_sync_has_left_in_the_page_cache_is_written_again() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 4)
    store.commit()
    put(store, 4)
    directory.fault = failing("sync", ".seg", errno.EIO)
    with pytest.raises(OSError, match="fault"):
        store.commit()
    directory = directory.kill()
    store = opened(directory)
    assert read_all(store) == ([*range(8)], [])
    assert read_all(opened(directory.crash())) == ([*range(8)], [])


def test_a_segment_that_could_be_made_and_not_removed_is_in_nobodys_way() -> None:
    directory = FakeDirectory()
    store = opened(directory)

    def fault(kind: str, name: str) -> None:
        if kind in ("allocate", "unlink") and name.endswith(".seg"):
            raise OSError(errno.EIO, "fault")

    directory.fault = fault
    for _ in range(2):
        with pytest.raises(OSError, match="fault"):
            put(store, 4)
    directory.fault = lambda *_: None
    put(store, 4)
    store.commit()
    assert read_all(opened(directory.crash())) == ([*range(4)], [])


def test_nothing_follows_a_hole_that_could_not_be_saved() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 4)
    store.commit()
    directory.fault = failing("sync", "cursor", errno.EIO)
    for _ in range(2):
        with pytest.raises(OSError, match="fault"):
            store.append([(8, numbered(8, 10, OCTETS))])
    assert store.next == 4
    directory.fault = lambda *_: None
    store.append([(8, numbered(8, 10, OCTETS))])
    store.commit()
    store = opened(directory.crash())
    assert read_all(store) == ([*range(4), 8, 9], [])
    assert store.report.messages == 6


def test_a_dropped_segment_is_a_hole_also_for_the_next_process() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, *[5] * 10)
    store.commit()
    first, end, _ = store.segments()[1]
    store.drop(first, end)
    expected = [n for n in range(50) if not first <= n < end]
    assert read_all(store) == (expected, [])
    store.close()
    store = opened(directory)
    assert read_all(store) == (expected, [])
    assert store.report.messages == len(expected)


def test_a_second_process_is_kept_out() -> None:
    directory = FakeDirectory()
    opened(directory)
    with pytest.raises(BlockingIOError):
        opened(directory)


# -- the real directory


def test_on_a_real_disk(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "siem"
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    with pytest.raises(BlockingIOError):
        Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    for first in range(0, 5000, 500):
        store.append([(first, numbered(first, first + 500, OCTETS))])
    store.commit()
    store.settle(2000)
    store.save_cursor(sync=True)
    assert read_all(store) == ([*range(2000, 5000)], [])
    store.close()
    (path / "link").symlink_to("/etc/passwd")
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    assert "link" in store.report.aliens
    assert read_all(store) == ([*range(2000, 5000)], [])
    assert path.stat().st_mode & 0o777 == 0o700
    for file in path.iterdir():
        assert file.is_symlink() or file.stat().st_mode & 0o777 == 0o600
    damaged = next(iter(sorted(path.glob("*.seg"))))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    store.close()
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    found, lost = read_all(store)
    assert sorted(found + [n for a, b in lost for n in range(a, b)]) == [*range(2000, 5000)]
    if lost:
        assert list((path / "quarantine").iterdir())
    store.close()


def test_a_removed_directory_is_an_error_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    (tmp_path / "spool").touch()
    with pytest.raises(OSError, match=r"(exists|directory)"):
        Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    path.unlink()
    Store.open(SystemDirectory(str(path)), octets_max=1 << 20).close()


def test_damage_has_an_end() -> None:
    assert Damaged(5, 3, "in a file").end == 8


def test_a_last_segment_of_which_the_disk_gives_nothing_is_kept() -> None:
    """Nobody knows what is in it, if anything: its numbers are told to no cursor."""
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 5)
    store.commit()
    store.save_cursor(sync=True)
    put(store, 20)
    put(store, 5)
    store.commit()
    store.close()
    name = segment_name(store.segments()[-1][0])
    content = bytes(directory.files[name])
    directory.bad[name] = (0, 1 << 30)
    with pytest.raises(OSError, match="Input/output"):
        opened(directory)
    directory.locked = False
    again = Store.open(directory, octets_max=1 << 20, salvaging=True)
    assert read_all(again) == ([*range(25)], [])
    assert directory.aside[name] == content
    assert again.report.lines() == [f"the disk does not give all of {name}"]
    put(again, 3)
    again.commit()


def test_what_cannot_be_written_behind_a_bad_place_goes_into_another_segment() -> None:
    directory = FakeDirectory()
    store = opened(directory)
    put(store, 5)
    store.commit()
    [(first, _, _)] = store.segments()

    def fault(kind: str, name: str) -> None:
        if (kind, name) == ("write", segment_name(first)):
            raise OSError(errno.EIO, "Input/output error")

    directory.fault = fault
    with pytest.raises(OSError, match="Input/output"):
        put(store, 1)
    put(store, 1)
    store.commit()
    assert len(store.segments()) == 2
    assert read_all(store) == ([*range(6)], [])
