"""The journal listener, on a journal in memory and on files that systemd-python reads."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from pydantic import ValidationError

from relay.core.account import Refusal
from relay.core.bounds import Bounds
from relay.core.position import Positions
from relay.listeners import journal as module
from relay.listeners.journal import JournalListener
from relay.system.ports import Endpoint, Entry, JournalTurn
from relay.system.ports.journal import FIELDS
from relay.wire.journal import message
from tests.core.test_position import Store
from tests.listeners.conftest import Rig
from tests.listeners.test_kmsg import deliver
from tests.system.test_journal import needs_journal, write


@dataclass(slots=True, eq=False)
class Book:
    """A journal in memory, as `SystemJournal` shows one."""

    sequence: str = "a" * 32
    entries: list[Entry] = field(default_factory=list)
    next: int = 1
    damaged: int = 0
    unreadable: str = ""

    def log(self, *texts: str) -> None:
        for text in texts:
            cursor = f"s={self.sequence};i={self.next:x};b=0"
            fields = {"MESSAGE": text.encode(), "SYSLOG_IDENTIFIER": b"app", "_PID": b"7"}
            self.entries.append(Entry(cursor, 1_795_000_000_000_000 + self.next, fields))
            self.next += 1

    def reader(self) -> "BookReader":
        return BookReader(self)


def number_of(cursor: str) -> int:
    return int(cursor.split(";")[1].partition("=")[2], 16)


@dataclass(slots=True, eq=False)
class BookReader:
    book: Book
    place: int = 0  # number of the next entry
    address: str = "system"

    async def _hop(self) -> None:
        await trio.sleep(0)
        if self.book.unreadable:
            raise PermissionError(13, self.book.unreadable)

    async def seek_cursor(self, cursor: str) -> bool:
        await self._hop()
        number = number_of(cursor)
        known = [it.cursor for it in self.book.entries]
        self.place = number + 1 if cursor in known else 0
        return cursor in known

    async def seek_boot(self) -> None:
        await self._hop()
        self.place = 0

    async def seek_end(self) -> str | None:
        await self._hop()
        self.place = self.book.next
        return self.book.entries[-1].cursor if self.book.entries else None

    async def read(self, entries_max: int, octets_max: int) -> JournalTurn:
        await self._hop()
        damaged, self.book.damaged = self.book.damaged, 0
        there: Sequence[Entry] = [
            it for it in self.book.entries if number_of(it.cursor) >= self.place
        ]
        taken = there[:entries_max]
        if taken:
            self.place = number_of(taken[-1].cursor) + 1
        return JournalTurn(taken, damaged, len(taken) == len(there))

    async def news(self, seconds_max: float) -> None:
        await trio.sleep(0.001)

    def adjust(self, endpoint: Endpoint) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Process:
    rig: Rig
    positions: Positions

    @asynccontextmanager
    async def running(self, book: Book | None, **keys: object) -> AsyncIterator[Rig]:
        listener = JournalListener.model_validate({"type": "journal", **keys})
        if book is None:
            self.rig.open(listener.endpoints())
        else:
            self.rig.sockets[:] = [book.reader()]
        intake = self.rig.intake(listener)
        intake.positions = self.positions
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await listener.run(self.rig.sockets, intake, task_status=task_status)

            await nursery.start(run)
            yield self.rig
            intake.draining.set()
        self.rig.check()
        for socket in self.rig.sockets:
            socket.close()


def process(store: Store | None = None) -> Process:
    return Process(Rig(bounds=Bounds(1 << 20, 1 << 30, "block")), Positions("journal-in", store))


class Asked(dict[str, bytes]):
    """Remembers the fields that were asked for, and has none."""

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401
        self[key] = b""
        return default


def test_a_message_is_made_of_the_fields_that_are_read() -> None:
    asked = Asked()
    message(asked, 0, b"host")
    assert set(asked) == FIELDS


async def test_an_entry_becomes_an_rfc5424_message() -> None:
    book, p = Book(), process()
    book.log("hello")
    async with p.running(book) as rig:
        await rig.texts(1)
    (message,) = rig.held()
    assert message == b"<14>1 2026-11-18T11:06:40.000001Z relay.example.net app 7 - - hello"
    assert rig.account.received_octets == 5


async def test_it_goes_on_where_it_left_off() -> None:
    book, store = Book(), Store()
    first = process(store)
    book.log("a", "b")
    async with first.running(book) as rig:
        await rig.texts(2)
    await deliver(rig)
    await first.positions.save(ended=True)
    book.log("c")
    second = process(store)
    async with second.running(book) as rig:
        assert await rig.texts(1) == [b"c"]
    assert rig.account.repeats_possible == rig.account.missed == 0


async def test_after_a_kill_nothing_is_missing_and_repeats_are_counted() -> None:
    book, store = Book(), Store()
    killed = process(store)
    book.log("a")
    async with killed.running(book) as rig:
        await rig.texts(1)
        await deliver(rig)
        await killed.positions.save()
        book.log("b")
        await rig.texts(1)
    second = process(store)
    async with second.running(book) as rig:
        assert await rig.texts(1) == [b"b"]
        with trio.fail_after(5):
            while second.positions.source("journal").repeating:
                await trio.sleep(0.001)
        book.log("c")
        await rig.texts(2)
    assert rig.account.repeats_possible == 1


async def test_what_was_vacuumed_unread_is_counted_and_told() -> None:
    book, store = Book(), Store()
    first = process(store)
    book.log("1")
    async with first.running(book) as rig:
        await rig.texts(1)
    await deliver(rig)
    await first.positions.save(ended=True)
    book.log("2", "3", "4", "5")
    del book.entries[:3]
    second = process(store)
    async with second.running(book) as rig:
        assert await rig.texts(2) == [b"4", b"5"]
    assert rig.account.missed == 2
    assert rig.ledger.losses.due(0.0) == ["dropped 2 messages to listener in: removed"]


async def test_what_was_vacuumed_while_a_pipe_was_full_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITED_SECONDS_MAX", 0.01)
    book, p = Book(), process()
    p.rig = rig = Rig(bounds=Bounds(1, 1 << 20, "block"))
    book.log("1")
    async with p.running(book):
        await rig.texts(1)
        book.log("2", "3", "4")
        await trio.sleep(0.05)
        del book.entries[:3]
        await deliver(rig)
        assert await rig.texts(1) == [b"4"]
        await deliver(rig)
    assert rig.account.missed == 2


async def test_another_journal_is_told_and_read(caplog: pytest.LogCaptureFixture) -> None:
    book, store = Book(), Store()
    first = process(store)
    book.log("1")
    async with first.running(book) as rig:
        await rig.texts(1)
    await deliver(rig)
    await first.positions.save(ended=True)
    book = Book(sequence="b" * 32)
    book.log("x")
    second = process(store)
    async with second.running(book) as rig:
        assert await rig.texts(1) == [b"x"]
    assert "listener in: the journal is another one" in caplog.text
    assert rig.account.missed == 0


async def test_start_now_begins_with_the_next_entry() -> None:
    book, p = Book(), process()
    book.log("a")
    async with p.running(book, start="now") as rig:
        book.log("b")
        assert await rig.texts(1) == [b"b"]


async def test_start_at_boot_reads_again_because_it_is_wanted() -> None:
    book, store = Book(), Store()
    book.log("a")
    for _ in range(2):
        p = process(store)
        async with p.running(book, start="boot") as rig:
            assert await rig.texts(1) == [b"a"]
        await deliver(rig)
        await p.positions.save()
        assert rig.account.repeats_possible == 0


@pytest.mark.parametrize("start", ["resume", "boot", "now"])
async def test_a_restart_in_the_same_process_goes_on_whatever_the_start(start: str) -> None:
    book, p = Book(), process(Store())
    async with p.running(book, start=start) as rig:
        book.log("a")
        await rig.texts(1)
    book.log("b")
    async with p.running(book, start=start) as rig:
        assert await rig.texts(2) == [b"a", b"b"]
    assert rig.account.received == 2


async def test_damaged_entries_are_refused_and_told(caplog: pytest.LogCaptureFixture) -> None:
    book, p = Book(damaged=3), process()
    book.log("a")
    async with p.running(book) as rig:
        await rig.texts(1)
    assert rig.account.refused[Refusal.DAMAGED] == 3
    assert rig.account.received == 4
    assert "listener in: 3 entries of the journal are damaged" in caplog.text


async def test_a_journal_that_cannot_be_read_is_told_once_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    book, p = Book(unreadable="not yours"), process()
    book.log("a")
    async with p.running(book) as rig:
        await trio.sleep(0.05)
        book.unreadable = ""
        assert await rig.texts(1) == [b"a"]
        book.unreadable = "not yours any more"
        await trio.sleep(0.05)
        book.unreadable = ""
        book.log("b")
        assert await rig.texts(2) == [b"a", b"b"]
    assert [it.getMessage() for it in caplog.records] == [
        "listener in cannot read the journal: [Errno 13] not yours",
        "listener in cannot read the journal: [Errno 13] not yours any more",
    ]
    assert rig.account.received == 2


async def test_a_full_pipe_that_keeps_leaves_entries_in_the_journal() -> None:
    book, p = Book(), process()
    p.rig = rig = Rig(bounds=Bounds(1, 1 << 20, "block"))
    book.log("a")
    async with p.running(book):
        await rig.texts(1)
        book.log("b", "c")
        await trio.sleep(0.02)
        assert rig.account.received <= 1
        assert await deliver(rig) == [b"a"]
        with trio.fail_after(5):
            while rig.account.received < 3:
                await trio.sleep(0.001)
    assert sum(rig.channel.account.dropped.values()) == 0


async def test_without_systemd_python_it_waits_for_the_stop() -> None:
    listener = JournalListener(type="journal")
    rig = Rig()
    intake = rig.intake(listener)
    intake.draining.set()
    await listener.run([], intake, task_status=trio.TASK_STATUS_IGNORED)


@pytest.mark.parametrize("keys", [{"start": "tail"}, {"path": ""}, {"units": [3]}])
def test_bad_keys_are_errors(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JournalListener.model_validate({"type": "journal", **keys})


@needs_journal
async def test_files_of_a_journal_are_read_across_two_processes(tmp_path: Path) -> None:
    """With rotation between them: what the first had not read is in another file."""
    store = Store()
    write(tmp_path, range(3), file="one.journal")
    first = process(store)
    async with first.running(None, path=str(tmp_path)) as rig:
        assert await rig.texts(3) == [b"0", b"1", b"2"]
        await trio.to_thread.run_sync(write, tmp_path, range(3, 5))
        assert (await rig.texts(5))[3:] == [b"3", b"4"]
    assert rig.held()[0].endswith(b"Z web1 app 77 - - number 0")
    await deliver(rig)
    await first.positions.save(ended=True)
    write(tmp_path, range(5, 9), file="three.journal")
    second = process(store)
    async with second.running(None, path=str(tmp_path), units="app.service") as rig:
        assert await rig.texts(4) == [b"5", b"6", b"7", b"8"]
    assert rig.account.missed == 0
