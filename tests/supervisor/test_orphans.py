"""Spools that an earlier process has left, and no pipe of whose name is configured."""

import socket

import pytest

from relay.core.account import Drop, PipeAccount
from relay.spool.cursor import newest
from relay.spool.page import CrashPage
from relay.system.drop_counts import boot_id
from relay.system.machine import SystemMachine
from relay.system.page_file import SystemPageFile
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"
AWAY = """
[destinations.away]
type = "tcp"
address = "127.0.0.1:9"
[pipes.forward]
spool = "always"
from = "net"
to = "away"
"""
BACK = AWAY.replace('type = "tcp"\naddress = "127.0.0.1:9"', 'type = "memory"')


async def left_behind(bench: Bench, messages: int) -> None:
    """A process has run with the pipe `forward`, and ended."""
    bench.machine = SystemMachine(state_dir=str(bench.directory))
    async with bench.running(BASE + AWAY) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            for number in range(messages):
                sock.sendall(LINE % number)
            await bench.until(lambda: relay.ledger.pipes["forward"].received == messages)


async def test_an_orphan_is_in_the_books_from_the_start_and_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await left_behind(bench, 3)
    async with bench.running(BASE) as relay:
        await bench.until(lambda: relay.spools["forward"].spool.ended.is_set())
        account = relay.ledger.pipes["forward"]
        assert (account.recovered, account.held().orphan) == (3, 3)
        assert "spool of pipe forward holds 3 messages, and there is no such pipe" in caplog.text
    async with bench.running(BASE):
        pass  # and it is still there for the third process
    async with bench.running(BASE + BACK) as relay:
        await bench.until(lambda: bench.ring("away") == [b"0", b"1", b"2"])


async def test_an_orphan_is_taken_up_by_its_pipe_when_a_reload_brings_it(bench: Bench) -> None:
    await left_behind(bench, 3)
    async with bench.running(BASE) as relay:
        await bench.reload(BASE + BACK)  # perhaps before anybody has looked at the spool
        await bench.until(lambda: bench.ring("away") == [b"0", b"1", b"2"])
        assert not relay.orphans
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 3)
            await bench.until(lambda: bench.ring("away")[3:] == [b"3"])
        account = relay.ledger.pipes["forward"]
        assert (account.recovered, sum(account.dropped.values())) == (3, 0)


async def test_what_is_taken_up_is_not_read_before_it_is_open(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither what an earlier process has left, nor what a reload of this one has."""
    await left_behind(bench, 3)
    async with bench.running(BASE) as relay:
        await bench.until(lambda: relay.spools["forward"].spool.ended.is_set())
        await bench.reload(BASE + BACK)
        await bench.until(lambda: bench.ring("away") == [b"0", b"1", b"2"])
    async with bench.running(BASE + AWAY) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 3)
            await bench.until(lambda: relay.ledger.pipes["forward"].received == 1)
        await bench.reload(BASE)
        await bench.until(lambda: not relay.retiring)
        assert relay.ledger.pipes["forward"].held().orphan == 1
        await bench.reload(BASE + BACK)
        await bench.until(lambda: bench.ring("away") == [b"3"])
    assert "cannot be read" not in caplog.text


async def test_an_empty_spool_without_a_pipe_is_nothing_to_tell(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await left_behind(bench, 0)
    caplog.clear()
    async with bench.running(BASE) as relay:
        await bench.until(lambda: relay.spools["forward"].spool.ended.is_set())
    assert "no such pipe" not in caplog.text


async def test_a_spool_that_cannot_be_opened_delays_no_stop(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await left_behind(bench, 3)
    other = SystemMachine(state_dir=str(bench.directory)).spool("forward")
    other.open()
    async with bench.running(BASE) as relay:
        await bench.until(lambda: relay.spools["forward"].spool.ended.is_set())
        assert relay.ledger.pipes["forward"].held().messages == 0
    other.close()
    assert "spool of pipe forward cannot be opened, and there is no such pipe" in caplog.text


async def test_what_a_crash_has_cost_an_orphan_is_told_once(bench: Bench) -> None:

    await left_behind(bench, 3)
    file = SystemPageFile.open(str(bench.directory))
    page = CrashPage(file, boot_id())
    cursor = newest((bench.directory / "spool/forward/cursor").read_bytes())
    assert cursor
    page.take_lost("forward", 0, cursor.store)
    slot = page.slot("forward")
    slot.write(PipeAccount("forward", received=5), next_number=5, head=0, at_risk=2)
    file.close()
    for lost in (2, 0):
        bench.machine = SystemMachine(
            state_dir=str(bench.directory), page=SystemPageFile.open(str(bench.directory))
        )
        async with bench.running(BASE) as relay:
            await bench.until(lambda: relay.spools["forward"].spool.ended.is_set())
            account = relay.ledger.pipes["forward"]
            assert (account.recovered, account.dropped[Drop.CRASH]) == (3 + lost, lost)
        assert bench.machine.page is not None
        bench.machine.page.close()
