"""Programs as children of a real process; what is delivered to them is in tests/destinations."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from relay.system import launch
from relay.system.hops import Hops
from relay.system.program import SystemProgram

STARTER = """
import sys, trio
from relay.system.hops import Hops
from relay.system.program import SystemProgram
async def main():
    await SystemProgram.start(sys.argv[1:], Hops(trio.CapacityLimiter(4)))
    print("started", flush=True)
    await trio.sleep_forever()
trio.run(main)
"""


async def start(*command: str) -> SystemProgram:
    return await SystemProgram.start(command, Hops(trio.CapacityLimiter(4)))


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def until_dead(process: int) -> None:
    with trio.fail_after(10):
        while alive(process):
            await trio.sleep(0.01)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_it_reads_what_is_written_and_ends() -> None:
    before = descriptors()
    cat = await start("sh", "-c", "read line; echo got $line >&2")
    assert await cat.stdin.write([b"hello\n"]) == 6
    assert await cat.ended() == "ended with status 0: got hello"
    await cat.stdin.close()
    cat.kill(hard=True)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("command", "errno"), [("/none/such", 2), ("none-such", 2), ("/etc/passwd", 13), ("/", 13)]
)
async def test_what_cannot_be_executed_says_why_and_leaves_nothing(
    command: str, errno: int
) -> None:
    before = descriptors()
    with pytest.raises(OSError, match="Errno") as raised:
        await start(command)
    assert raised.value.errno == errno
    with trio.fail_after(5):
        while descriptors() != before:
            await trio.sleep(0.01)


async def test_much_on_standard_error_holds_nothing_up() -> None:
    talker = await start("sh", "-c", "yes 'a long word' | head -n 100000 >&2; echo last >&2")
    with trio.fail_after(20):
        assert await talker.ended() == "ended with status 0: last"
    await talker.stdin.close()


async def test_who_keeps_its_standard_error_does_not_keep_it_alive(tmp_path: Path) -> None:
    """A daemon that left the group; its parent has ended all the same."""
    script = (
        f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' & "
        f"while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done; exit 4"
    )
    parent = await start("sh", "-c", script)
    with trio.fail_after(10):
        assert await parent.ended() == "ended with status 4"
    await parent.stdin.close()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_without_a_descriptor_to_watch_it_by_it_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is left behind: no process, and none of the descriptors that are so few."""

    def fails(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = descriptors()
    monkeypatch.setattr(os, "pidfd_open", fails)
    sleeper = await start("sleep", "60")
    with trio.fail_after(10):
        assert await sleeper.ended() == "killed by SIGKILL: Too many open files"
    await sleeper.stdin.close()
    assert descriptors() == before


async def test_a_start_that_is_cancelled_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executable is on a file system that hangs: here, in place of the launcher, a sleeper."""
    hanging = tmp_path / "launch.py"
    hanging.write_text(
        f"import os, time; open('{tmp_path}/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    )
    monkeypatch.setattr(launch, "__file__", str(hanging))
    before = descriptors()
    with trio.move_on_after(10) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start, "true")
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await trio.sleep(0.01)
            scope.cancel()
    await until_dead(int((tmp_path / "pid").read_text()))
    with trio.fail_after(5):
        while descriptors() != before:
            await trio.sleep(0.01)


async def test_a_start_may_be_cancelled_at_any_moment() -> None:
    before = descriptors()
    started = 0
    for milliseconds in range(0, 60, 2):
        with trio.move_on_after(milliseconds / 1000):
            sleeper = await start("sleep", "60")
            started += 1
            sleeper.kill(hard=True)
            with trio.CancelScope(shield=True):
                await sleeper.ended()
                await sleeper.stdin.close()
    assert started < 30
    with trio.fail_after(10):
        while descriptors() != before:
            await trio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_it_does_not_outlive_us(number: signal.Signals, tmp_path: Path) -> None:
    """Also one that minds neither the end of its input, and after its starter was killed."""
    script = f"echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, "sh", "-c", script], stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout
        assert starter.stdout.readline() == b"started\n"
        with trio.fail_after(10):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await trio.sleep(0.01)
        child = int((tmp_path / "pid").read_text())
        assert alive(child)
        starter.send_signal(number)
        starter.wait(10)
    await until_dead(child)


async def test_it_lives_longer_than_an_idle_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio's own threads end after a while without work, and the child of one would with it."""
    monkeypatch.setattr("trio._core._thread_cache.IDLE_TIMEOUT", 0.05)
    sleeper = await start("sleep", "60")
    for _ in range(3):
        await trio.to_thread.run_sync(os.getpid)
    with trio.move_on_after(0.5):
        await sleeper.ended()
        raise AssertionError("ended")
    sleeper.kill(hard=False)
    assert await sleeper.ended() == "killed by SIGTERM"
    await sleeper.stdin.close()
