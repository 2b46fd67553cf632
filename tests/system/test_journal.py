"""The journal: files made by systemd-journal-remote, read by systemd-python."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from relay.listeners.journal import is_installed
from relay.system.journal import DAMAGED_MAX, FIELD_OCTETS_MAX, SystemJournal
from relay.system.ports import Endpoint

REMOTE = shutil.which("systemd-journal-remote", path="/usr/lib/systemd:/lib/systemd:/usr/bin")
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
USEC = 1_795_000_000_000_000

needs_journal = pytest.mark.skipif(
    not (is_installed() and REMOTE), reason="systemd-python or systemd-journal-remote is missing"
)


def write(
    directory: Path, numbers: range, *, file: str = "x.journal", unit: str = "app", boot: str = BOOT
) -> None:
    """Append entries to a file of a journal; what the text says is their number."""
    assert REMOTE
    entries = "".join(
        f"__REALTIME_TIMESTAMP={USEC + number}\n__MONOTONIC_TIMESTAMP={1000 + number}\n"
        f"_BOOT_ID={boot}\nPRIORITY=3\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=app\n_PID=77\n"
        f"_HOSTNAME=web1\n_TRANSPORT=syslog\n_SYSTEMD_UNIT={unit}.service\n"
        f"MESSAGE=number {number}\n\n"
        for number in numbers
    )
    subprocess.run([REMOTE, "-o", str(directory / file), "-"], input=entries.encode(),
                   capture_output=True, check=True, timeout=30)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SystemJournal]:
    reader = SystemJournal.of(Endpoint("journal", str(tmp_path)))
    yield reader
    reader.close()


async def numbers(journal: SystemJournal, entries_max: int = 1000) -> list[int]:
    turn = await journal.read(entries_max, 1 << 20)
    assert not turn.damaged
    return [int(it.fields["MESSAGE"].split()[1]) for it in turn.entries]


class Huge:
    """As a `Reader` gives an entry that somebody has sent to fill our memory."""

    def process(self) -> None: ...

    def get_next(self) -> dict[str, object]:
        return {
            "__CURSOR": "c",
            "__REALTIME_TIMESTAMP": USEC,
            "MESSAGE": bytes(FIELD_OCTETS_MAX + 1),
            "COREDUMP": bytes(FIELD_OCTETS_MAX + 1),
        }

    def close(self) -> None: ...


class Damaged:
    """As a `Reader` meets a file that lost its data objects: it passes over each entry."""

    def __init__(self, entries: int) -> None:
        self._left = entries

    def process(self) -> None: ...

    def get_next(self) -> dict[str, object]:
        if not self._left:
            return {}
        self._left -= 1
        raise OSError(errno.EBADMSG, "Bad message")

    def close(self) -> None: ...


async def test_however_many_entries_are_damaged_each_is_counted_and_passed(
    journal: SystemJournal,
) -> None:
    """Raising would begin again before the first of them, for ever."""
    journal._reader = Damaged(2 * DAMAGED_MAX + 1)
    turns = [await journal.read(10, 1) for _ in range(3)]
    assert [(it.entries, it.damaged, it.ended) for it in turns] == [
        ([], DAMAGED_MAX, False),
        ([], DAMAGED_MAX, False),
        ([], 1, True),
    ]


async def test_of_an_entry_is_held_no_more_than_a_message_has(journal: SystemJournal) -> None:
    """What libsystemd does not cut, and what nobody wants."""
    journal._reader = Huge()
    turn = await journal.read(10, 1)
    (entry,) = turn.entries
    assert {name: len(value) for name, value in entry.fields.items()} == {
        "MESSAGE": FIELD_OCTETS_MAX
    }


@needs_journal
async def test_entries_come_in_order_as_octets(tmp_path: Path, journal: SystemJournal) -> None:
    write(tmp_path, range(5))
    await journal.seek_boot()
    turn = await journal.read(3, 1 << 20)
    assert [it.fields["MESSAGE"] for it in turn.entries] == [b"number %d" % n for n in range(3)]
    assert [it.usec for it in turn.entries] == [USEC, USEC + 1, USEC + 2]
    assert turn.entries[0].fields["_PID"] == b"77"
    assert not turn.ended
    assert (await journal.read(1000, 1)).entries[0].fields["MESSAGE"] == b"number 3"
    turn = await journal.read(1000, 1 << 20)
    assert (len(turn.entries), turn.ended) == (1, True)


@needs_journal
async def test_new_entries_are_noticed_and_read(tmp_path: Path, journal: SystemJournal) -> None:
    write(tmp_path, range(2))
    await journal.seek_boot()
    assert await numbers(journal) == [0, 1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.news, 20)
        await trio.to_thread.run_sync(write, tmp_path, range(2, 4))
    assert await numbers(journal) == [2, 3]
    await trio.to_thread.run_sync(lambda: write(tmp_path, range(4, 6), file="y.journal"))
    with trio.fail_after(20):
        found: list[int] = []
        while found != [4, 5]:
            found += await numbers(journal)


@needs_journal
async def test_a_cursor_is_where_another_reader_goes_on(
    tmp_path: Path, journal: SystemJournal
) -> None:
    write(tmp_path, range(5))
    await journal.seek_boot()
    cursor = (await journal.read(3, 1 << 20)).entries[-1].cursor
    other = SystemJournal.of(Endpoint("journal", str(tmp_path)))
    assert await other.seek_cursor(cursor)
    assert await numbers(other) == [3, 4]
    assert await other.seek_cursor(cursor)
    assert await numbers(other) == [3, 4]
    other.close()


@needs_journal
async def test_a_cursor_whose_entry_is_gone_leads_to_the_next_one(
    tmp_path: Path, journal: SystemJournal
) -> None:
    write(tmp_path, range(3), file="old.journal")
    write(tmp_path, range(5, 8), file="new.journal")
    await journal.seek_boot()
    cursor = (await journal.read(2, 1 << 20)).entries[-1].cursor
    journal.close()
    (tmp_path / "old.journal").unlink()
    other = SystemJournal.of(Endpoint("journal", str(tmp_path)))
    assert not await other.seek_cursor(cursor)
    assert await numbers(other) == [5, 6, 7]
    assert not await other.seek_cursor("no cursor at all")
    other.close()


@needs_journal
async def test_the_first_entry_of_this_boot(tmp_path: Path, journal: SystemJournal) -> None:
    """Earlier ones stand in a file of their own, and in front of it in the same one."""
    write(tmp_path, range(3), file="earlier.journal", boot="a" * 32)
    await journal.seek_boot()
    assert await numbers(journal) == []
    write(tmp_path, range(3, 5), file="now.journal", boot="a" * 32)
    write(tmp_path, range(5, 8), file="now.journal")
    other = SystemJournal.of(Endpoint("journal", str(tmp_path), units=("app.service",)))
    await other.seek_boot()
    assert await numbers(other) == [5, 6, 7]
    other.close()


@needs_journal
async def test_the_end_and_an_empty_journal(tmp_path: Path, journal: SystemJournal) -> None:
    assert await journal.seek_end() is None
    assert (await journal.read(10, 100)).ended
    write(tmp_path, range(3))
    other = SystemJournal.of(Endpoint("journal", str(tmp_path)))
    cursor = await other.seek_end()
    assert cursor
    assert await numbers(other) == []
    await trio.to_thread.run_sync(write, tmp_path, range(3, 5))
    assert await numbers(other) == [3, 4]
    other.close()


@needs_journal
async def test_only_the_entries_of_the_units_that_are_asked_for(
    tmp_path: Path, journal: SystemJournal
) -> None:
    write(tmp_path, range(2), unit="app")
    write(tmp_path, range(2, 4), unit="other")
    write(tmp_path, range(4, 6), unit="third")
    await journal.seek_boot()
    assert await numbers(journal) == list(range(6))
    journal.adjust(Endpoint("journal", str(tmp_path), units=("app.service", "third.service")))
    await journal.seek_boot()
    assert await numbers(journal) == [0, 1, 4, 5]


@needs_journal
async def test_a_damaged_file_ends_nothing(tmp_path: Path, journal: SystemJournal) -> None:
    """What is readable is read; libsystemd leaves out a file that it cannot iterate."""
    write(tmp_path, range(50), file="bad.journal")
    write(tmp_path, range(100, 103), file="good.journal")
    data = bytearray((tmp_path / "bad.journal").read_bytes())
    for at in range(data.index(b"MESSAGE=number 20"), len(data) // 100, 97):
        data[at] ^= 0xFF
    (tmp_path / "bad.journal").write_bytes(data)
    await journal.seek_boot()
    found = []
    ended = False
    with trio.fail_after(20):
        while not ended:
            turn = await journal.read(1000, 1 << 20)
            found += [it.fields.get("MESSAGE", b"") for it in turn.entries]
            ended = turn.ended
    assert found[-3:] == [b"number %d" % n for n in range(100, 103)]


@needs_journal
async def test_a_directory_that_is_missing_is_an_error_until_it_is_there(tmp_path: Path) -> None:
    journal = SystemJournal.of(Endpoint("journal", str(tmp_path / "later")))
    with pytest.raises(OSError, match="No such file"):
        await journal.seek_boot()
    (tmp_path / "later").mkdir()
    write(tmp_path / "later", range(2))
    await journal.seek_boot()
    assert await numbers(journal) == [0, 1]
    journal.close()


async def test_without_systemd_python_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "systemd", None)
    monkeypatch.setitem(sys.modules, "systemd.journal", None)
    assert not is_installed()
    journal = SystemJournal.of(Endpoint("journal", "system"))
    with pytest.raises(OSError, match="systemd-python is not installed"):
        await journal.seek_boot()
    journal.close()
