"""What the crash page says to the next process, and when it is not believed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.spool.page import RECORD_OCTETS, CrashPage
from relay.system.page_file import SystemPageFile


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


def test_the_next_process_of_this_boot_reads_what_was_held() -> None:
    file = Memory()
    page = CrashPage(file, "boot 1")
    slots = {name: page.slot(name) for name in ("siem", "files", "b" * 64)}
    for held, (_, slot) in enumerate(slots.items()):
        slot.write(account_of(held), 100 + held, 90)
    slots["siem"].write(account_of(42), 200, 158)
    after = CrashPage(file, "boot 1").believed()
    assert {name: record.held for name, record in after.items()} == {
        "siem": 42, "files": 1, "b" * 64: 2,
    }  # fmt: skip
    assert (after["siem"].next, after["siem"].head) == (200, 158)
    assert after["siem"].delivered == 5


def test_a_page_of_another_boot_is_not_believed_but_its_numbers_are_used_up() -> None:
    file = Memory()
    CrashPage(file, "boot 1").slot("siem").write(account_of(42), 200, 158)
    page = CrashPage(file, "boot 2")
    assert page.believed() == {}
    assert page.before["siem"].next == 200


def test_pipes_keep_their_places_from_process_to_process() -> None:
    file = Memory()
    page = CrashPage(file, "boot")
    page.slot("never written")
    page.slot("one").write(account_of(1), 1, 0)
    page = CrashPage(file, "boot")
    page.slot("two").write(account_of(2), 2, 0)
    held = {name: record.held for name, record in CrashPage(file, "boot").believed().items()}
    assert held == {"one": 1, "two": 2}


def test_a_flipped_bit_costs_its_own_record_alone(caplog: pytest.LogCaptureFixture) -> None:
    file = Memory()
    page = CrashPage(file, "boot")
    page.slot("one").write(account_of(1), 1, 0)
    page.slot("two").write(account_of(2), 2, 0)
    good = bytes(file.content)
    for place in range(len(good)):
        damaged = Memory(good)
        damaged.content[place] ^= 1
        after = CrashPage(damaged, "boot")
        hit = place // RECORD_OCTETS
        expected = {"one", "two"} - {("", "one", "two")[hit]} if hit else set()
        assert set(after.believed()) == expected, place
        after.slot("three").write(account_of(3), 3, 0)
        assert "three" in CrashPage(damaged, "boot").believed()
    assert "damaged" in caplog.text


@given(st.binary(max_size=1000))
def test_any_content_is_no_reason_not_to_start(content: bytes) -> None:
    file = Memory(content)
    assert CrashPage(file, "boot").believed() == {}
    CrashPage(file, "boot").slot("siem").write(account_of(1), 1, 0)
    assert set(CrashPage(file, "boot").believed()) == {"siem"}


def test_a_page_that_cannot_be_written_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    file = Memory()
    slot = CrashPage(file, "boot").slot("siem")
    file.broken = True
    for _ in range(3):
        slot.write(account_of(1), 1, 0)
    assert len(caplog.records) == 1
    file.broken = False
    slot.write(account_of(1), 1, 0)
    assert "siem" in CrashPage(file, "boot").believed()


def test_the_real_file_survives_and_grows(tmp_path: Path) -> None:
    file = SystemPageFile.open(str(tmp_path))
    page = CrashPage(file, "boot")
    for n in range(200):
        page.slot(f"pipe-{n}").write(account_of(n), n, 0)
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
