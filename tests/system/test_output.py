"""Terminals and pipes as the kernel has them."""

import errno
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system.hops import Hops
from relay.system.output import DescriptorOutput, open_fifo, open_terminal

STOP, GO = b"\x13", b"\x11"  # ^S and ^Q


def output(number: int) -> DescriptorOutput:
    os.set_blocking(number, False)
    return DescriptorOutput(number, Hops(trio.CapacityLimiter(4)))


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for number in (reading, writing):
        with suppress(OSError):
            os.close(number)


async def test_a_pipe_takes_pieces_until_one_does_not_fit(ends: tuple[int, int]) -> None:
    """A piece of up to PIPE_BUF as a whole or not at all (pipe(7))."""
    reading, writing = ends
    pipe = output(writing)
    assert await pipe.write([b"x" * 4096] * 20) == 65536
    assert await pipe.write([b"y"]) == 0
    os.read(reading, 4096)
    assert await pipe.write([b"y" * 4000, b"z" * 4000]) == 4000
    assert pipe.unread() == 65536 - 4096 + 4000
    await pipe.close()


async def test_writable_waits_for_the_reader(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = output(writing)
    while await pipe.write([b"x" * 4096]):
        pass
    with trio.move_on_after(0.05) as waiting:
        await pipe.writable()
    assert waiting.cancelled_caught
    os.read(reading, 8192)
    with trio.fail_after(5):
        await pipe.writable()
    await pipe.close()


async def test_what_was_taken_is_told_before_the_fault(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = output(writing)
    assert await pipe.write([b"before"]) == 6
    assert not pipe.hung_up()
    os.read(reading, 2)
    os.close(reading)
    assert pipe.hung_up()
    assert pipe.unread() == 4
    with pytest.raises(BrokenPipeError):
        await pipe.write([b"behind"])
    await pipe.close()
    await pipe.close()


async def test_a_cancelled_write_runs_to_its_end(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = output(writing)
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await pipe.write([b"hello"]) == 5
        await pipe.close()
    assert not scope.cancelled_caught
    assert os.read(reading, 100) == b"hello"


async def test_closing_wakes_who_waits(ends: tuple[int, int]) -> None:
    _, writing = ends
    pipe = output(writing)
    while await pipe.write([b"x" * 4096]):
        pass
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_closed_while_waiting, pipe)
        await trio.testing.wait_all_tasks_blocked()
        await pipe.close()


async def _closed_while_waiting(pipe: DescriptorOutput) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await pipe.writable()


async def test_a_stopped_terminal_takes_nothing_and_says_when_it_does() -> None:
    master, slave = pty.openpty()
    terminal = output(open_terminal(os.ttyname(slave)))
    os.write(master, STOP)
    await trio.sleep(0.05)
    assert await terminal.write([b"hello\r\n"]) == 0
    with trio.move_on_after(0.05) as waiting:
        await terminal.writable()
    assert waiting.cancelled_caught
    os.write(master, GO)
    with trio.fail_after(5):
        await terminal.writable()
    assert await terminal.write([b"hello\r\n"]) == 7
    os.close(slave)
    os.close(master)
    assert terminal.hung_up()
    with trio.fail_after(5):
        await terminal.writable()
    with pytest.raises(OSError, match="Input/output error"):
        await terminal.write([b"hello\r\n"])
    await terminal.close()


def test_a_terminal_is_not_made_our_controlling_one() -> None:
    """Its hangup would send us SIGHUP (open(2), O_NOCTTY)."""
    master, slave = pty.openpty()
    code = (
        "import os, sys; os.setsid(); from relay.system.output import open_terminal; "
        "open_terminal(sys.argv[1]); os.open('/dev/tty', os.O_RDWR)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, os.ttyname(slave)], capture_output=True, check=False
    )
    os.close(slave)
    os.close(master)
    assert b"No such device or address: '/dev/tty'" in done.stderr


def test_the_background_of_a_terminal_that_stops_writers_is_not_stopped() -> None:
    """`stty tostop`, and a relay that was started with `&` from the shell at that terminal."""
    code = """
import os, pty, signal, sys, termios, trio
from relay.system.hops import Hops
from relay.system.output import DescriptorOutput, open_terminal
child, master = pty.fork()
if child:
    said = b""
    try:
        while b"hello" not in said:
            said += os.read(master, 100)
    except OSError:
        pass
    _, status = os.waitpid(child, os.WUNTRACED)
    os.write(1, said)
    sys.exit(not os.WIFEXITED(status))
attributes = termios.tcgetattr(0)
attributes[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, attributes)
background = os.fork()
if background:
    _, status = os.waitpid(background, os.WUNTRACED)
    os._exit(0 if os.WIFEXITED(status) else os.kill(os.getpid(), signal.SIGKILL))
os.setpgid(0, 0)
async def write():
    terminal = DescriptorOutput(open_terminal(os.ttyname(0)), Hops(trio.CapacityLimiter(1)))
    assert await terminal.write([b"hello"]) == 5
trio.run(write)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert b"hello" in done.stdout
    assert signal.SIGTTOU not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("kind", ["file", "null", "none", "pipe"])
def test_only_terminals_are_opened_as_such(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    path = "/dev/null" if kind == "null" else str(tmp_path / kind)
    with pytest.raises(OSError, match="Errno") as raised:
        open_terminal(path)
    expected = {"none": errno.ENOENT, "pipe": errno.ENXIO}.get(kind, errno.ENOTTY)
    assert raised.value.errno == expected
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Errno"):
        open_terminal(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_named_pipes_are_opened_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", Path("/dev/null"), tmp_path):
        with pytest.raises(FileExistsError, match="not a named pipe"):
            open_fifo(str(path), 0o600)
    with pytest.raises(FileNotFoundError):
        open_fifo(str(tmp_path / "new"), None)
    with pytest.raises(OSError, match="No such device") as raised:
        open_fifo(str(tmp_path / "new"), 0o622)
    assert raised.value.errno == errno.ENXIO  # it is there, and nobody reads it
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o622


async def test_one_that_is_closed_when_its_pipe_is_abandoned_is_closed_all_the_same(
    ends: tuple[int, int],
) -> None:
    """A reload has taken the pipe away at the end of its time: whoever reads finds the end."""
    reading, writing = ends
    os.set_blocking(writing, False)
    hops = Hops(trio.CapacityLimiter(4))
    pipe = DescriptorOutput(writing, hops)
    hops.abandon()
    with trio.CancelScope() as scope:
        scope.cancel()
        await pipe.close()
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(reading)
    assert os.read(reading, 1) == b""


def test_the_last_descriptors_are_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the spools and for who asks how we are; what was opened is closed again."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    master, slave = pty.openpty()
    number = os.dup(reading)
    os.close(number)
    monkeypatch.setattr("relay.system.descriptors.descriptors_max", lambda: number + 16)
    monkeypatch.setattr("relay.system.descriptors._LAST_OUTPUT_SHARE", 1)
    before = len(os.listdir("/proc/self/fd"))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            open_fifo(str(fifo), None)
        with pytest.raises(OSError, match="Too many open files"):
            open_terminal(os.ttyname(slave))
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        for each in (reading, master, slave):
            os.close(each)
