"""Programs that a helper starts, for a process that may start none."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from relay.system.children import GONE, Helper
from relay.system.hops import Hops
from relay.system.program import SystemProgram

READ = ("sh", "-c", "read line; echo got $line >&2")
SLEEP = ("sleep", "60")
LEAVES = ("sh", "-c", "sleep 60 & echo $! > pid; exec sleep 60")
QUIET = ("sh", "-c", "exec 2>&-; exec sleep 60")
MISSING = ("/none/such",)


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Helper]:
    monkeypatch.chdir(tmp_path)
    helper = Helper([READ, SLEEP, LEAVES, QUIET, MISSING, SLEEP])
    yield helper
    helper.close()


async def start(helper: Helper, command: tuple[str, ...]) -> SystemProgram:
    return await SystemProgram.start(command, Hops(trio.CapacityLimiter(4)), helper.start)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(process: int) -> list[int]:
    return [int(it) for it in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


async def until_dead(*processes: int) -> None:
    with trio.fail_after(10):
        while any(map(alive, processes)):
            await trio.sleep(0.01)


async def test_it_reads_what_is_written_and_its_end_is_told(helper: Helper) -> None:
    before = len(os.listdir("/proc/self/fd"))
    program = await start(helper, READ)
    assert await program.stdin.write([b"hello\n"]) == 6
    assert await program.ended() == "ended with status 0: got hello"
    await program.stdin.close()
    program.kill(hard=True)
    assert len(os.listdir("/proc/self/fd")) == before
    assert children(helper.process.pid) == []


@pytest.mark.parametrize(("hard", "name"), [(False, "SIGTERM"), (True, "SIGKILL")])
@pytest.mark.parametrize("command", [SLEEP, QUIET])
async def test_it_is_ended_as_asked(
    helper: Helper, command: tuple[str, ...], hard: bool, name: str
) -> None:
    """Also one that has closed its standard error."""
    program = await start(helper, command)
    if command == QUIET:
        await trio.sleep(0.2)
    with trio.fail_after(5):
        program.kill(hard=hard)
        assert await program.ended() == f"killed by {name}"
    await program.stdin.close()


async def test_what_it_has_started_ends_with_it(helper: Helper, tmp_path: Path) -> None:
    program = await start(helper, LEAVES)
    with trio.fail_after(5):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await trio.sleep(0.01)
    program.kill(hard=False)
    await program.ended()
    await until_dead(int((tmp_path / "pid").read_text()))
    await program.stdin.close()


async def test_what_cannot_be_executed_says_why(helper: Helper) -> None:
    with pytest.raises(FileNotFoundError):
        await start(helper, MISSING)


async def test_no_command_but_those_of_the_start(helper: Helper) -> None:
    with pytest.raises(PermissionError, match="needs a restart"):
        await start(helper, ("id",))


async def test_many_at_a_time_and_a_start_that_is_cancelled(helper: Helper) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for milliseconds in range(0, 60, 4):
        with trio.move_on_after(milliseconds / 1000):
            await trio.sleep(0)
            program = await start(helper, SLEEP)
            with trio.CancelScope(shield=True):
                program.kill(hard=True)
                await program.ended()
                await program.stdin.close()
    with trio.fail_after(10):
        while len(os.listdir("/proc/self/fd")) != before or children(helper.process.pid):
            await trio.sleep(0.01)


async def test_when_the_helper_dies_its_programs_do_and_it_is_told(helper: Helper) -> None:
    program = await start(helper, SLEEP)
    (child,) = children(helper.process.pid)
    os.kill(helper.process.pid, signal.SIGKILL)
    with trio.fail_after(10):
        assert await program.ended() == GONE
    await until_dead(child)
    await program.stdin.close()
    with pytest.raises(OSError, match="the helper that starts programs has ended"):
        await start(helper, SLEEP)


async def test_it_ends_with_us_and_so_do_the_programs(helper: Helper) -> None:
    program = await start(helper, SLEEP)
    (child,) = children(helper.process.pid)
    helper.close()
    await until_dead(child)
    await program.ended()
    await program.stdin.close()


async def test_signals_to_it_are_for_the_relay_to_obey(helper: Helper) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(helper.process.pid, number)
    program = await start(helper, READ)
    program.kill(hard=True)
    await program.ended()
    await program.stdin.close()
