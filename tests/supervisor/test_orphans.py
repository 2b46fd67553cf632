"""Spools that earlier processes have left for pipes that nobody has configured."""

import socket
from pathlib import Path

import pytest
import trio

from relay.core.account import Drop
from relay.spool.page import CrashPage, PipeRecord
from relay.system.machine import SystemMachine
from relay.system.page_file import SystemPageFile
from tests.spool.real import content, fill, open_store, segments, spoil
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"
OLD = """
[destinations.old]
type = "memory"
[pipes.old]
spool = "MODE"
from = "net"
to = "old"
"""
INTERNAL = """
[listeners.internal]
type = "internal"
[destinations.own]
type = "memory"
[pipes.own]
from = "internal"
to = "own"
"""


def spool(bench: Bench) -> Path:
    return bench.directory / "spool" / "old"


def machine(bench: Bench, **records: PipeRecord) -> SystemMachine:
    """The host, with what the process before has left on the crash page."""
    host = SystemMachine(state_dir=str(bench.directory))
    host.page = bench.machine.page or SystemPageFile.open(str(bench.directory))
    page = CrashPage(host.page, host.boot_id)
    for name, it in records.items():
        page.amend(name, it)
    return host


def record(held: int, *, at_risk: int = 0) -> PipeRecord:
    return PipeRecord(held, 0, 0, 0, 0, held, 0, at_risk)


def ring(bench: Bench) -> list[int]:
    return [int(line.rstrip(b".")) for line in bench.ring("old")]


async def test_an_orphan_is_held_told_and_left_as_it_is(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    fill(spool(bench), *[5] * 20, settled=30)
    before = content(spool(bench))
    bench.machine = machine(bench, old=record(100))
    async with bench.running(BASE + INTERNAL) as relay:
        await bench.until(lambda: "old" in relay.orphans)
        account = relay.ledger.pipes["old"]
        held = account.held()
        assert (account.recovered, held.orphan, held.messages, held.at_risk) == (70, 70, 70, 0)
        text = "spool of pipe old, which is not configured, holds 70 messages: see `relay spool`"
        assert text in caplog.text
        lines = relay.rings.rings["own"].lines
        await bench.until(lambda: any(line.endswith(text.encode()) for line in lines))
    assert content(spool(bench)) == before


@pytest.mark.parametrize("mode", ["always", "overflow", "never"])
async def test_a_pipe_that_is_configured_under_its_name_delivers_it_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    fill(spool(bench), *[5] * 20, settled=30)
    bench.machine = machine(bench, old=record(100))
    async with bench.running() as relay:
        await bench.until(lambda: "old" in relay.orphans)
        await bench.reload(BASE + OLD.replace("MODE", mode))
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 100 + LINE % 101)
            await bench.until(lambda: ring(bench) == [*range(30, 102)])
        account = relay.ledger.pipes["old"]
        assert (account.received, account.recovered) == (2, 70)
        assert account.held().messages == 0
        assert relay.orphans == {}
        assert "cannot be read" not in caplog.text
    async with bench.running(BASE + OLD.replace("MODE", mode)) as relay:
        await bench.until(lambda: "old" in relay.pipes)
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 102)
            await bench.until(lambda: ring(bench) == [102])
        assert relay.ledger.pipes["old"].recovered == 0


async def test_an_orphan_is_counted_by_every_process_and_told_lost_by_none(bench: Bench) -> None:
    fill(spool(bench), *[5] * 20)
    for _ in range(3):
        bench.machine = machine(bench)
        async with bench.running() as relay:
            await bench.until(lambda: "old" in relay.orphans)
            account = relay.ledger.pipes["old"]
            assert (account.recovered, account.held().orphan) == (100, 100)
            assert account.dropped[Drop.CRASH] == 0


@pytest.mark.parametrize("on_disk", [0, 5])
async def test_what_only_memory_held_for_an_orphan_is_booked_once(
    bench: Bench, on_disk: int
) -> None:
    fill(spool(bench), 10, settled=10 - on_disk)
    held = PipeRecord(10 + 7, 0, 0, 10 - on_disk, 0, 17, 10 - on_disk, 7)
    bench.machine = machine(bench, old=held)
    async with bench.running() as relay:
        await bench.until(lambda: "old" in relay.orphans)
        account = relay.ledger.pipes["old"]
        assert (account.recovered, account.dropped[Drop.CRASH]) == (on_disk + 7, 7)
        assert account.held().orphan == on_disk
    bench.machine = machine(bench)
    async with bench.running() as relay:
        await bench.until(lambda: "old" in relay.orphans or not on_disk)
        await trio.testing.wait_all_tasks_blocked()
        lost = sum(it.dropped[Drop.CRASH] for it in relay.ledger.pipes.values())
        assert lost == 0


async def test_an_empty_one_is_of_no_interest(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    fill(spool(bench), 10, settled=10)
    (bench.directory / "spool" / "lost+found").mkdir()
    fill(bench.directory / "spool" / "behind", 3)
    bench.machine = machine(bench, old=record(0))
    async with bench.running() as relay:
        await bench.until(lambda: "behind" in relay.orphans)
        await trio.testing.wait_all_tasks_blocked()
        assert list(relay.ledger.pipes) == ["all", "behind"]
    assert "pipe old" not in caplog.text


async def test_damage_of_an_orphan_is_counted_when_it_is_read(bench: Bench) -> None:
    fill(spool(bench), *[5] * 20)
    spoil(segments(spool(bench))[0], 200)
    bench.machine = machine(bench)
    async with bench.running() as relay:
        await bench.until(lambda: "old" in relay.orphans)
        await bench.reload(BASE + OLD.replace("MODE", "always"))
        account = relay.ledger.pipes["old"]
        await bench.until(lambda: len(ring(bench)) == 95)
        assert account.dropped[Drop.DAMAGED] == 5


async def test_one_that_cannot_be_looked_at_is_told_and_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    held = open_store(spool(bench))  # by another relay
    fill(bench.directory / "spool" / "zzz", 3)
    bench.machine = machine(bench)
    async with bench.running() as relay:
        await bench.until(lambda: "zzz" in relay.orphans)
        assert "old" not in relay.ledger.pipes
        assert "spool of pipe old, which is not configured, cannot be read" in caplog.text
    held.close()
