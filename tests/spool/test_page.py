"""What the crash page says to the next process, and when it is not believed."""

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.spool.page import EPOCH_OCTETS, NO_STORE, RECORD_OCTETS, CrashPage, Slot
from relay.spool.recovery import Known
from relay.system.page_file import SystemPageFile

STORE, OTHER = b"s" * 16, b"o" * 16


class Memory:
    """A file that survives the process in a test's variable."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.broken = False

    def read(self) -> bytes:
        return bytes(self.content)

    def write(self, offset: int, data: bytes) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.content.extend(bytes(max(0, offset + len(data) - len(self.content))))
        self.content[offset : offset + len(data)] = data


def account_of(held: int) -> PipeAccount:
    account = PipeAccount("any", received=held + 10, recovered=5, filtered=3)
    account.delivered[Confirmation.SENT] = 4
    account.delivered[Confirmation.ACKED] = 1
    account.dropped[Drop.FULL] = 7
    return account


def book(
    slot: Slot,
    held: int,
    *,
    next_number: int = 0,
    head: int = 0,
    owed: int = 0,
    at_risk: int | None = None,
    end: int | None = None,
    store: bytes = STORE,
    taken: bool = True,
) -> None:
    """Write a book, once the one of the process before is `taken` over."""
    if taken:
        slot.page.take_lost(slot.name, 0, store)
    slot.write(
        account_of(held),
        next_number=next_number or held,
        head=head,
        owed=owed,
        at_risk=held if at_risk is None else at_risk,
        end=end,
    )


def test_the_next_process_of_this_boot_reads_what_was_held() -> None:
    file = Memory()
    page = CrashPage(file, "boot 1")
    slots = {name: page.slot(name) for name in ("siem", "files", "b" * 64)}
    for held, (_, slot) in enumerate(slots.items()):
        book(slot, held, next_number=100 + held, head=90)
    book(slots["siem"], 42, next_number=200, head=158)
    after = CrashPage(file, "boot 1").believed()
    assert {name: record.held for name, record in after.items()} == {
        "siem": 42, "files": 1, "b" * 64: 2,
    }  # fmt: skip
    assert (after["siem"].next, after["siem"].head) == (200, 158)


def test_a_page_of_another_boot_is_not_believed_but_its_numbers_are_used_up() -> None:
    file = Memory()
    book(CrashPage(file, "boot 1").slot("siem"), 42, next_number=200, head=158)
    page = CrashPage(file, "boot 2")
    assert page.believed() == {}
    assert page.before["siem"].next == 200
    assert page.known("siem") == Known(200)


def test_numbers_that_began_anew_are_of_another_epoch_also_if_the_process_is_killed_then() -> None:
    file = Memory()
    page = CrashPage(file, "boot")
    epoch = page.renew(b"12345678")
    slot, account = page.slot("siem"), account_of(42)
    slot.write(account, next_number=200, head=158)
    assert epoch_after(file) == epoch
    account.renumbered += 1
    slot.write(account, next_number=201, head=158)
    after = epoch_after(file)
    assert after != epoch
    slot.write(account, next_number=202, head=158)
    assert epoch_after(file) == after


def epoch_after(file: Memory) -> bytes:
    """That of a process which begins now."""
    return CrashPage(file, "boot").renew(b"........")


def test_a_page_is_believed_of_the_one_store_that_it_is_about() -> None:
    """Another one may lie in its place by now: what is in that one, nobody has delivered."""
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 42, next_number=200, head=158, end=190)
    page = CrashPage(file, "boot")
    assert page.known("siem") == Known(200, 158, (190, 200), STORE)
    assert page.known("other") == Known()
    assert page.take_lost("siem", 42, OTHER) == 42, "what it has held is not what is found"


def test_a_pipe_without_a_spool_says_nothing_of_one() -> None:
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 3, next_number=200, head=197, store=NO_STORE)
    page = CrashPage(file, "boot")
    assert page.known("siem") == Known(200)
    assert page.take_lost("siem", 3, NO_STORE) == 3, "nothing is found where there is no store"


def test_what_was_given_up_is_known_until_the_spool_is_open() -> None:
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 7, next_number=20, head=5, end=12)
    book(CrashPage(file, "boot").slot("siem"), 1, next_number=21, head=20, taken=False)
    third = CrashPage(file, "boot")
    assert third.known("siem") == Known(21, 5, (12, 21), STORE)
    book(third.slot("siem"), 1, next_number=22, head=21)
    assert CrashPage(file, "boot").known("siem") == Known(22, 21, (22, 22), STORE)


def test_what_comes_before_the_spool_is_open_is_not_given_up() -> None:
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 7, next_number=20, head=13)
    book(CrashPage(file, "boot").slot("siem"), 1, next_number=21, head=20, taken=False)
    assert CrashPage(file, "boot").known("siem") == Known(21, 13, (21, 21), STORE)


def test_a_page_of_the_version_before_is_told_and_begun_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its records say nothing of a store, so that nothing of them can be believed."""
    boot = struct.pack("<8sI64s48x", b"relaypag", 1, b"boot")
    pipe = struct.pack("<64s7QI", b"siem", 42, 0, 0, 0, 200, 158, 0, 42)
    file = Memory(b"".join(it + struct.pack("<I", zlib.crc32(it)) for it in (boot, pipe)))
    page = CrashPage(file, "boot")
    assert (page.before, page.known("siem")) == ({}, Known())
    assert "of another version: it is begun anew" in caplog.text
    book(page.slot("other"), 1)
    assert set(CrashPage(file, "boot").believed()) == {"other"}


def test_a_pipe_that_was_absent_in_a_boot_is_not_believed_in_it_later() -> None:
    """The page has the name of the new boot then, and this record is older."""
    file = Memory()
    book(CrashPage(file, "boot 1").slot("siem"), 42, next_number=200, head=158)
    CrashPage(file, "boot 2")
    after = CrashPage(file, "boot 2")
    assert after.take_lost("siem", 0) == 0
    assert (after.before["siem"].next, after.before["siem"].head) == (200, 0)


def test_what_left_before_the_spool_was_open_has_not_left_the_disk() -> None:
    """The page is gone with a power cut: until the disk is open, numbers begin at 0 once more."""
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 0, next_number=13, head=13, taken=False)
    assert CrashPage(file, "boot").believed()["siem"].head == 0


@pytest.mark.parametrize(
    ("held", "owed", "at_risk", "found", "lost"),
    [
        (10, 0, 10, 0, 10),
        (10, 0, 4, 6, 4),
        (10, 0, 4, 9, 1),  # written, and not synced: a kill leaves it
        (10, 7, 0, 3, 0),  # 7 had not been answered: their senders have them
        (10, 3, 3, 5, 3),  # 5 are gone, 3 of them owed or only 2: not known, at most 3
        (10, 0, 4, 12, 0),  # the cursor is old
        (10, 0, 0, 0, 10),  # all were durable, and somebody has removed the directory
        (10, 3, 0, 0, 7),
    ],
)
def test_lost_is_what_is_not_found_and_no_sender_has(
    held: int, owed: int, at_risk: int, found: int, lost: int
) -> None:
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), held, owed=owed, at_risk=at_risk)
    page = CrashPage(file, "boot")
    assert page.take_lost("siem", found, STORE) == lost
    assert page.take_lost("siem", found, STORE) == 0, "told once"


def test_records_behind_a_damaged_boot_record_are_never_believed() -> None:
    """Not by this process, nor by the next one, which finds the name of its boot."""
    file = Memory()
    page = CrashPage(file, "boot A")
    book(page.slot("a"), 7)
    book(page.slot("b"), 77, next_number=1077, head=1000)
    file.content[3] ^= 1
    book(CrashPage(file, "boot B").slot("b"), 0, next_number=5000, head=5000)
    after = CrashPage(file, "boot B").believed()
    assert set(after) == {"b"}
    assert (after["b"].held, after["b"].head) == (0, 5000)


def test_a_second_crash_before_the_spool_is_open_forgets_nothing() -> None:
    """What the first process held is on the page until the second has booked it."""
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 10, next_number=50, head=40, at_risk=4)
    book(CrashPage(file, "boot").slot("siem"), 3, next_number=55, head=52, taken=False)
    third = CrashPage(file, "boot")
    record = third.believed()["siem"]
    assert (record.held, record.at_risk, record.next, record.head) == (13, 7, 55, 40)
    assert third.take_lost("siem", 6, STORE) == 7
    book(third.slot("siem"), 1, next_number=56, head=55)
    assert CrashPage(file, "boot").believed()["siem"].held == 1


def test_pipes_keep_their_places_from_process_to_process() -> None:
    file = Memory()
    page = CrashPage(file, "boot")
    page.slot("never written")
    book(page.slot("one"), 1)
    page = CrashPage(file, "boot")
    book(page.slot("two"), 2)
    held = {name: record.held for name, record in CrashPage(file, "boot").believed().items()}
    assert held == {"one": 1, "two": 2}


def test_a_flipped_bit_costs_its_own_record_alone(caplog: pytest.LogCaptureFixture) -> None:
    file = Memory()
    page = CrashPage(file, "boot")
    book(page.slot("one"), 1)
    book(page.slot("two"), 2)
    good = bytes(file.content)
    for place in range(len(good)):
        damaged = Memory(good)
        damaged.content[place] ^= 1
        after = CrashPage(damaged, "boot")
        hit = place // RECORD_OCTETS
        expected = {"one", "two"} - {("", "one", "two")[hit]} if hit else set()
        assert set(after.believed()) == expected, place
        book(after.slot("three"), 3)
        assert "three" in CrashPage(damaged, "boot").believed()
    assert "damaged" in caplog.text


@given(st.binary(max_size=1000))
def test_any_content_is_no_reason_not_to_start(content: bytes) -> None:
    file = Memory(content)
    assert CrashPage(file, "boot").believed() == {}
    book(CrashPage(file, "boot").slot("siem"), 1)
    assert set(CrashPage(file, "boot").believed()) == {"siem"}


def test_a_record_whose_numbers_leave_no_room_is_damaged() -> None:
    """Its CRC may be right: nothing of it must keep this process from writing its own."""
    file = Memory()
    page = CrashPage(file, "boot")
    book(page.slot("siem"), 5)
    packed = bytearray(file.content[RECORD_OCTETS : 2 * RECORD_OCTETS - 4])
    packed[80:88] = b"\xff" * 8  # held
    file.write(RECORD_OCTETS, bytes(packed) + zlib.crc32(packed).to_bytes(4, "little"))
    page = CrashPage(file, "boot")
    assert page.before == {}
    book(page.slot("siem"), 5, taken=False)
    assert CrashPage(file, "boot").before["siem"].held == 5


def test_a_page_that_cannot_be_written_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    file = Memory()
    slot = CrashPage(file, "boot").slot("siem")
    file.broken = True
    for _ in range(3):
        book(slot, 1)
    assert len(caplog.records) == 1
    file.broken = False
    book(slot, 1)
    assert "siem" in CrashPage(file, "boot").believed()


def test_the_real_file_survives_and_grows(tmp_path: Path) -> None:
    file = SystemPageFile.open(str(tmp_path))
    page = CrashPage(file, "boot")
    for n in range(200):
        book(page.slot(f"pipe-{n}"), n)
    file.close()
    assert (tmp_path / "crash-page").stat().st_mode & 0o777 == 0o600
    again = SystemPageFile.open(str(tmp_path))
    held = {name: it.held for name, it in CrashPage(again, "boot").believed().items()}
    assert held == {f"pipe-{n}": n for n in range(200)}
    again.close()


def test_no_link_leads_the_page_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "crash-page").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        SystemPageFile.open(str(tmp_path))


def test_the_epoch_goes_on_within_a_boot_and_ends_with_it() -> None:
    """After a power cut the numbers of this page may be old: they may be used again."""
    file = Memory()
    first, second, third = (bytes([it]) * EPOCH_OCTETS for it in (1, 2, 3))
    assert CrashPage(file, "boot 1").renew(first) == first
    assert CrashPage(file, "boot 1").renew(second) == first
    assert CrashPage(file, "boot 2").renew(third) == third
    assert CrashPage(file, "boot 2").renew(first) == third


def test_a_damaged_record_ends_the_epoch() -> None:
    """Where a pipe's numbers are is not known then."""
    file = Memory()
    page = CrashPage(file, "boot")
    first, second = (bytes([it]) * EPOCH_OCTETS for it in (1, 2))
    page.renew(first)
    book(page.slot("siem"), 3)
    file.content[RECORD_OCTETS + 5] ^= 1
    assert CrashPage(file, "boot").renew(second) == second


def test_an_epoch_can_be_begun_by_a_process_that_comes_late() -> None:
    file = Memory()
    first, second = (bytes([it]) * EPOCH_OCTETS for it in (1, 2))
    CrashPage(file, "boot").renew(first)
    CrashPage(file, "boot").begin(second)
    assert CrashPage(file, "boot").renew(first) == second


def test_a_page_from_before_there_were_epochs_begins_one() -> None:
    file = Memory()
    book(CrashPage(file, "boot").slot("siem"), 3, next_number=9)
    page = CrashPage(file, "boot")
    assert page.renew(b"e" * EPOCH_OCTETS) == b"e" * EPOCH_OCTETS
    assert page.believed()["siem"].next == 9
