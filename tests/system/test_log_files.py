"""Files to follow, on a real file system."""

import bz2
import gzip
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from relay.system.log_files import SystemLogFiles


@pytest.fixture
def files() -> SystemLogFiles:
    return SystemLogFiles(trio.CapacityLimiter(1))


def test_globs_links_and_what_is_missing(files: SystemLogFiles, tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b.log").touch()
    (tmp_path / "link.log").symlink_to("deep/er/b.log")
    found = files.match([f"{tmp_path}/*.log", f"{tmp_path}/none/*"], symlinks=True)
    assert sorted(found) == [f"{tmp_path}/a.log", f"{tmp_path}/deep/er/b.log"]
    assert files.match([f"{tmp_path}/*.log"], symlinks=False) == [f"{tmp_path}/a.log"]
    assert sorted(files.match([f"{tmp_path}/**/*.log"], symlinks=False)) == sorted(found)


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed_content_is_read_at_any_place(
    files: SystemLogFiles, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    content = random.Random(1).randbytes(100_000)
    path = tmp_path / f"app.log{suffix}"
    path.write_bytes(pack(content))
    file = files.open(str(path))
    assert file.read(1000, 70_000) == content[70_000:71_000]
    assert file.read(10, 0) == content[:10]
    assert file.read(10, 99_995) == content[-5:]
    assert file.read(10, 200_000) == b""
    file.close()
    path.write_bytes(pack(content)[:5000])
    file = files.open(str(path))
    with pytest.raises(OSError, match="damaged"):
        file.read(100_000, 0)
    file.close()


def test_a_pipe_without_writer_holds_nobody(files: SystemLogFiles, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not files.stat(str(tmp_path / "pipe")).regular
    files.open(str(tmp_path / "pipe")).close()


def test_a_file_that_nobody_took_closes_itself(files: SystemLogFiles, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    file = files.open(str(tmp_path / "a"))
    number = file._number
    assert (file.read(2, 1), file.stat().size) == (b"bc", 3)
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


async def test_a_hop_runs_in_a_thread(files: SystemLogFiles, tmp_path: Path) -> None:
    assert await files.hop(files.names, str(tmp_path)) == []
