import contextlib
import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system import disk as disk_module
from relay.system.disk import SystemDisk
from relay.system.ports import Disk


@pytest.fixture
async def disk() -> SystemDisk:
    return SystemDisk(trio.CapacityLimiter(2))


async def test_a_file_is_opened_appended_to_and_closed(disk: SystemDisk, tmp_path: Path) -> None:
    it: Disk = disk
    file = await it.open_append(str(tmp_path), "edge/log", mode=0o640)
    assert await file.append([b"one\n", b"two\n"], sync=True) == 8
    assert not await file.replaced()
    (tmp_path / "edge" / "log").rename(tmp_path / "log.1")
    assert await file.replaced()
    await file.close()
    assert (tmp_path / "log.1").read_bytes() == b"one\ntwo\n"


async def test_an_error_of_open_is_the_callers(disk: SystemDisk, tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link") as caught:
        await disk.open_append(str(tmp_path), "log", mode=0o640)
    assert caught.value.errno == errno.ELOOP


async def test_a_relative_base_is_still_known_elsewhere(
    disk: SystemDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = await disk.open_append("logs", "log", mode=0o640)
    monkeypatch.chdir("/")
    assert not await file.replaced()
    await file.close()


async def test_cancelled_calls_are_done_all_the_same(disk: SystemDisk, tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        file = await disk.open_append(str(tmp_path), "log", mode=0o640)
        assert await file.append([b"line\n"]) == 5
        await file.close()
    assert not scope.cancelled_caught
    assert (tmp_path / "log").read_bytes() == b"line\n"


@pytest.fixture
def stdout(closing: ExitStack, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A pipe in the place of standard output: where to read, where to write."""
    reader, writer = os.pipe()
    closing.callback(os.close, writer)
    closing.callback(os.close, reader)
    monkeypatch.setattr(disk_module, "_STDOUT", writer)
    return reader, writer


def fill(writer: int) -> int:
    os.set_blocking(writer, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(writer, b"x" * 4096)
    return filled


async def test_standard_output_takes_what_it_can(disk: SystemDisk, stdout: tuple[int, int]) -> None:
    assert await disk.write_stdout(b"line\n") == 5
    assert os.read(stdout[0], 100) == b"line\n"


async def test_a_non_blocking_standard_output_is_waited_for(
    disk: SystemDisk, stdout: tuple[int, int]
) -> None:
    reader, writer = stdout
    filled = fill(writer)
    taken: list[int] = []

    async def write() -> None:
        taken.append(await disk.write_stdout(b"line\n"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert taken == []
        assert len(os.read(reader, filled)) == filled
    assert taken == [5]


async def test_a_hanging_call_is_abandoned_at_the_deadline_of_a_stop(
    disk: SystemDisk, stdout: tuple[int, int]
) -> None:
    reader, writer = stdout
    filled = fill(writer)
    os.set_blocking(writer, True)
    ended = trio.Event()

    async def write() -> None:
        try:
            await disk.write_stdout(b"line\n")
        finally:
            ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not ended.is_set()  # cancelled, but what it writes is still to be known
            disk.abandon()
            await ended.wait()
    left = filled + 5
    while left:  # lets the thread go before its descriptor is closed
        left -= len(os.read(reader, left))


async def test_a_closed_standard_output_is_an_error(
    disk: SystemDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(disk_module, "_STDOUT", writer)
    with pytest.raises(BrokenPipeError):
        await disk.write_stdout(b"line\n")
    os.close(writer)
