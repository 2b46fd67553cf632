"""The files of positions: whole at any time, and the latest save wins."""

import os
import stat
import threading
from pathlib import Path

import pytest
import trio

from relay.system.position_files import PositionFiles


async def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    files = PositionFiles(str(tmp_path))
    assert await files.load("kmsg-k") is None
    await files.save("kmsg-k", b"one")
    await files.save("kmsg-k", b"two")
    await files.save("kmsg-.other", b"three")
    assert await PositionFiles(str(tmp_path)).load("kmsg-k") == b"two"
    assert sorted(os.listdir(tmp_path / "positions")) == ["kmsg-.other.json", "kmsg-k.json"]
    assert stat.S_IMODE(os.stat(tmp_path / "positions").st_mode) == 0o700


async def test_while_the_state_directory_is_awaited_nothing_is_known(tmp_path: Path) -> None:
    """It may be a file system that is not mounted yet: what is there now is not what was kept."""
    reason = "it is not there yet"
    files = PositionFiles(str(tmp_path), lambda: reason)
    with pytest.raises(OSError, match="it is not there yet"):
        await files.load("kmsg-k")
    reason = ""
    assert await files.load("kmsg-k") is None


async def test_a_save_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = PositionFiles(str(tmp_path))
    await files.save("kmsg-k", b"one")

    def fdatasync(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fdatasync", fdatasync)
    with pytest.raises(OSError, match="Input/output"):
        await files.save("kmsg-k", b"two")
    assert await files.load("kmsg-k") == b"one"
    assert os.listdir(tmp_path / "positions") == ["kmsg-k.json"]


async def test_an_abandoned_save_that_hung_replaces_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = PositionFiles(str(tmp_path))
    hung, ended = threading.Event(), threading.Event()
    save = files._save

    def hanging(name: str, content: bytes, number: int) -> None:
        if number == 1:
            hung.wait(10)
        save(name, content, number)
        if number == 1:
            ended.set()

    monkeypatch.setattr(PositionFiles, "_save", staticmethod(hanging))
    with trio.move_on_after(0.01):
        await files.save("kmsg-k", b"old")
    await files.save("kmsg-k", b"new")
    hung.set()
    assert await trio.to_thread.run_sync(ended.wait, 10)
    assert await files.load("kmsg-k") == b"new"


async def test_a_directory_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "positions" / "kmsg-k.json").mkdir(parents=True)
    files = PositionFiles(str(tmp_path))
    with pytest.raises(IsADirectoryError):
        await files.load("kmsg-k")
    with pytest.raises(OSError, match="directory"):
        await files.save("kmsg-k", b"new")


async def test_a_state_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """It may be of a file system that comes later; none is made in its place."""
    files = PositionFiles(str(tmp_path / "later"))
    with pytest.raises(FileNotFoundError):
        await files.load("kmsg-k")
    with pytest.raises(FileNotFoundError):
        await files.save("kmsg-k", b"new")
    assert not (tmp_path / "later").exists()
