"""A relay that starts while the state directory cannot be had.

A `relay spool` command has it, or its file system is not mounted.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import trio

from relay.core.account import Drop, PipeAccount
from relay.core.upstreams import Upstreams
from relay.spool.page import CrashPage
from relay.supervisor.spools import _known
from relay.system import machine
from relay.system.drop_counts import boot_id
from relay.system.machine import SystemMachine
from relay.system.page_file import SystemPageFile
from relay.wire.hop import last_passage
from tests.supervisor.conftest import BASE, Bench
from tests.supervisor.test_orphans import AWAY, BACK, LINE, left_behind


def opened(environ: dict[str, str], state_dir: str) -> SystemMachine:
    """The machine with its crash page, as at the start of a relay."""
    opened = SystemMachine.of(environ, state_dir)
    opened.open_page()
    return opened


@contextmanager
def another_process(bench: Bench) -> Iterator[SystemPageFile]:
    """It has the page, and a relay is started."""
    page = SystemPageFile.open(str(bench.directory))
    bench.machine = opened({}, str(bench.directory))
    yield page
    if bench.machine.page is not None:
        bench.machine.page.close()


def send(bench: Bench, *numbers: int) -> None:
    with socket.create_connection(bench.address("net")) as sock:
        for number in numbers:
            sock.sendall(LINE % number)


async def test_it_delivers_from_memory_and_takes_the_page_once_it_is_free(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with another_process(bench) as other:
        async with bench.running(BASE + BACK) as relay:
            send(bench, 0)
            await bench.until(lambda: bench.ring("away") == [b"0"])
            spool = relay.spools["forward"].spool
            assert spool.channel.backlog
            assert "another process" in spool.channel.backlog.failing
            assert not (bench.directory / "spool").exists(), "the other one may be changing it"
            other.close()
            await bench.until(lambda: (it := spool.channel.backlog) is not None and it.ready)
            send(bench, 1)
            await bench.until(lambda: bench.ring("away") == [b"0", b"1"])
        assert caplog.text.count("crash page cannot be opened") == 1
        assert caplog.text.count("crash page can be opened now") == 1
        assert bench.machine.page is not None
        records = CrashPage(bench.machine.page, boot_id()).believed()
        assert (records["forward"].next, records["forward"].head) == (2, 2)
        assert records["all"].next == 2


async def test_what_the_process_before_held_is_in_the_books_then(bench: Bench) -> None:
    await left_behind(bench, 3)
    with another_process(bench) as other:
        page = CrashPage(other, boot_id())
        for name, lost in (("all", 5), ("gone", 2), ("forward", 4)):
            page.take_lost(name, 0)
            account = PipeAccount(name, received=lost)
            page.slot(name).write(account, next_number=9, head=0, at_risk=lost)
        async with bench.running(BASE + AWAY) as relay:
            send(bench, 0)
            await bench.until(lambda: bench.ring() == [b"0"])
            other.close()
            await bench.until(lambda: relay.ledger.pipes["forward"].recovered)
            pipes = relay.ledger.pipes
            assert {name: it.dropped[Drop.CRASH] for name, it in pipes.items()} == {
                "all": 5, "gone": 2, "forward": 4,
            }  # fmt: skip
            assert {name: it.recovered for name, it in pipes.items()} == {
                "all": 5, "gone": 2, "forward": 3 + 4,
            }  # fmt: skip


async def test_spools_without_a_pipe_are_found_then(bench: Bench) -> None:
    await left_behind(bench, 3)
    with another_process(bench) as other:
        async with bench.running(BASE) as relay:
            await trio.sleep(0.1)
            assert not relay.orphans
            other.close()
            await bench.until(lambda: "forward" in relay.orphans)
            await bench.until(lambda: relay.orphans["forward"].held().orphan == 3)


async def test_a_stop_does_not_wait_for_it(bench: Bench) -> None:
    with another_process(bench) as other:
        async with bench.running(BASE + AWAY) as relay:
            send(bench, 0)
            await bench.until(lambda: relay.ledger.pipes["forward"].received == 1)
        assert relay.ledger.pipes["forward"].dropped[Drop.SHUTDOWN] == 1
        other.close()


async def test_a_state_directory_that_is_not_mounted_yet(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It delivers from memory; what is on disk, older or not, comes when the directory does."""
    where = bench.directory / "var" / "lib"
    bench.machine = opened({}, str(where))
    async with bench.running(BASE + BACK) as relay:
        send(bench, 0)
        await bench.until(lambda: bench.ring("away") == [b"0"])
        spool = relay.spools["forward"].spool
        assert spool.channel.backlog
        assert "not there yet: No such file or directory" in spool.channel.backlog.failing
        assert not where.parent.exists(), "what is mounted there would hide it"
        where.parent.mkdir()
        await bench.until(lambda: (it := spool.channel.backlog) is not None and it.ready)
        send(bench, 1)
        await bench.until(lambda: bench.ring("away") == [b"0", b"1"])
        await bench.until(lambda: (where / "spool" / "forward" / "cursor").exists())
        assert relay.page is not None
    assert caplog.text.count("crash page cannot be opened") == 1
    assert caplog.text.count("crash page can be opened now") == 1
    assert caplog.text.count("spool of pipe forward") == 2  # fails, works again


async def test_what_was_left_on_disk_comes_with_the_directory(bench: Bench) -> None:
    """Also of a pipe whose spool is switched off meanwhile."""
    where, away = bench.directory / "lib", bench.directory / "unmounted"
    bench.directory = where
    where.mkdir()
    await left_behind(bench, 3)
    where.rename(away)
    bench.machine = opened({}, str(where / "relay"))
    bench.directory = away
    async with bench.running(BASE + BACK.replace('"always"', '"never"')) as relay:
        send(bench, 7)
        await bench.until(lambda: bench.ring("away") == [b"7"])
        (away / "relay").mkdir()
        (away / "spool").rename(away / "relay" / "spool")
        away.rename(where)
        bench.directory = where
        await bench.until(lambda: bench.ring("away") == [b"7", b"0", b"1", b"2"])
        assert relay.ledger.pipes["forward"].recovered == 3


@pytest.mark.parametrize(
    "error", [errno.ENOENT, errno.EROFS, errno.EACCES, errno.ESTALE, errno.EMFILE, errno.ENFILE]
)
async def test_faults_that_pass_are_waited_for(
    error: int, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_page, access = SystemPageFile.open, machine._may_write

    def failing(directory: str) -> SystemPageFile:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(SystemPageFile, "open", failing)
    monkeypatch.setattr(machine, "_may_write", lambda _: False)  # root may everywhere
    bench.machine = opened({}, str(bench.directory))
    async with bench.running(BASE + BACK) as relay:
        send(bench, 0)
        await bench.until(lambda: bench.ring("away") == [b"0"])
        await trio.sleep(1.2)  # it has looked again
        assert relay.page is None
        monkeypatch.setattr(SystemPageFile, "open", open_page)
        monkeypatch.setattr(machine, "_may_write", access)
        await bench.until(lambda: relay.page is not None)
    text = f"a crash would not be counted: {os.strerror(error)}; it is waited for"
    assert caplog.text.count(text) == 1


async def test_a_page_that_cannot_be_had_for_another_reason_is_not_waited_for(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (bench.directory / "crash-page").mkdir()
    bench.machine = opened({}, str(bench.directory))
    async with bench.running(BASE + BACK) as relay:
        await bench.until(lambda: (bench.directory / "spool/forward/cursor").exists())
        assert relay.page is None
    assert caplog.text.count("crash page cannot be opened") == 1


async def test_while_it_looks_again_nobody_takes_the_directory_for_free(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look is in a thread, and may hang; spools and positions would not wait meanwhile."""
    open_page = SystemPageFile.open
    with another_process(bench):
        seen: list[str] = []

        def looking(directory: str) -> SystemPageFile:
            seen.append(bench.machine.awaited)
            return open_page(directory)

        monkeypatch.setattr(SystemPageFile, "open", looking)
        bench.machine.open_page()
        assert seen == ["another process has the state directory"]


def test_a_page_that_is_there_and_not_read_yet_is_waited_for(bench: Bench) -> None:
    """Between the thread that gets it and the task that reads it, a spool may want to know."""
    bench.machine = opened({}, str(bench.directory))
    relay = SimpleNamespace(page=None, machine=bench.machine)
    with pytest.raises(BlockingIOError, match="not read yet"):
        _known(relay, "forward")  # type: ignore[arg-type]
    assert bench.machine.page is not None
    bench.machine.page.close()


async def test_numbers_that_change_then_are_of_another_epoch(bench: Bench) -> None:
    """The next hop sees neither gaps nor duplicates in them, and is told that it cannot know."""
    stamping = (BASE + BACK).replace('type = "memory"', 'type = "memory"\nstamp = true')
    seen: list[bytes] = []

    async def passed(*numbers: int) -> None:
        send(bench, *numbers)
        await bench.until(lambda: bench.ring("away")[-1:] == [b"%d" % numbers[-1]])
        seen.extend(list(bench.relay.rings.rings["away"].lines)[-len(numbers) :])

    bench.machine = opened({}, str(bench.directory))
    async with bench.running(stamping):
        await passed(0, 1, 2)
    assert bench.machine.page is not None
    bench.machine.page.close()
    with another_process(bench) as other:
        async with bench.running(stamping) as relay:
            await passed(3)
            other.close()
            spool = relay.spools["forward"].spool
            await bench.until(lambda: (it := spool.channel.backlog) is not None and it.ready)
            await passed(4, 5)
            assert relay.page is not None
            relay.part_epochs()
    bench.machine = opened({}, str(bench.directory))
    async with bench.running(stamping):
        await passed(6)
    found = [it for it in map(last_passage, seen) if it]
    assert len(found) == 7
    assert [it.number for it in found[:4]] == [0, 1, 2, 0]
    assert found[4].number >= 3
    assert found[6].number == found[5].number + 1
    assert len({it.epoch for it in found}) == 4
    upstreams = Upstreams()
    upstreams.look(seen, 0.0)
    upstreams.rest(0.0)
    counts = upstreams.counts["edge01/forward"]
    assert (counts.missing, counts.duplicates, counts.renumbered) == (0, 0, 2)
