"""The port to what is on this machine, as a whole."""

import os
import pty
from pathlib import Path

import pytest
import trio

from relay.system.local import SystemLocal
from relay.system.ports import Local


async def test_everything_is_opened_through_one_port(tmp_path: Path) -> None:
    local: Local = SystemLocal(trio.CapacityLimiter(4))
    master, slave = pty.openpty()
    terminal = await local.open_terminal(os.ttyname(slave))
    assert await terminal.write([b"a", b"b"]) == 2
    assert os.read(master, 10) == b"ab"
    await terminal.close()
    os.close(slave)
    os.close(master)

    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    pipe = await local.open_fifo(str(tmp_path / "pipe"), mode=None)
    assert await pipe.write([b"ab"]) == 2
    assert pipe.unread() == 2
    await pipe.close()
    os.close(reading)

    program = await local.start(["cat"])
    await program.stdin.close()
    assert await program.ended() == "ended with status 0"


async def test_at_the_deadline_a_hanging_open_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A path on a file system that hangs."""
    local = SystemLocal(trio.CapacityLimiter(4))
    reading, writing = os.pipe()
    monkeypatch.setattr("relay.system.output.open_terminal", lambda _: os.read(reading, 1)[0])
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(local.open_terminal, "/net/away")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            local.abandon()
    os.write(writing, b"\0")
    os.close(writing)
    os.close(reading)
