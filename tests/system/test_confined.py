import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.system.confined import open_confined


@contextmanager
def opened(base: Path, path: str, mode: int = 0o640) -> Iterator[int]:
    number = open_confined(str(base), path, mode)
    try:
        yield number
    finally:
        os.close(number)


def refusal(base: Path, path: str) -> int | None:
    before = set(os.listdir("/proc/self/fd"))
    try:
        os.close(open_confined(str(base), path, 0o640))
    except OSError as exc:
        assert set(os.listdir("/proc/self/fd")) == before
        return exc.errno
    pytest.fail(f"{path} was opened")


def test_base_and_directories_are_made_and_the_mode_is_the_files(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        with opened(tmp_path / "log", "edge/today.log", 0o664) as number:
            os.write(number, b"line\n")
            assert not os.get_inheritable(number)
    finally:
        os.umask(old)
    file = tmp_path / "log" / "edge" / "today.log"
    assert file.read_bytes() == b"line\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o664


def test_a_base_whose_file_system_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        opened(tmp_path / "var" / "log", "edge/today.log", 0o664),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_an_existing_file_keeps_its_mode_and_its_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"old\n")
    (tmp_path / "log").chmod(0o600)
    with opened(tmp_path, "log", 0o666) as number:
        os.write(number, b"new\n")
    assert (tmp_path / "log").read_bytes() == b"old\nnew\n"
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../log", "a/../../log", "a//log", "a/", ".", "a/./log", "a\0b", "\ud800"],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, path) == errno.EINVAL
    assert list(tmp_path.iterdir()) == []


def test_no_symbolic_link_below_the_base_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "log").write_bytes(b"")
    base = tmp_path / "base"
    base.mkdir()
    (base / "directory").symlink_to(outside)
    (base / "file").symlink_to(outside / "log")
    (base / "dangling").symlink_to(outside / "new")
    assert refusal(base, "directory/log") == errno.ELOOP
    assert refusal(base, "file") == errno.ELOOP
    assert refusal(base, "dangling") == errno.ELOOP
    assert not (outside / "new").exists()


def test_the_base_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "base").symlink_to(tmp_path / "disk")
    with opened(tmp_path / "base", "log"):
        assert (tmp_path / "disk" / "log").exists()


def test_what_is_no_file_or_no_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path, "file/log") == errno.ENOTDIR
    assert refusal(tmp_path, "directory") == errno.EISDIR
    assert refusal(tmp_path, "pipe") == errno.ENXIO
    assert refusal(tmp_path, "x" * 300) == errno.ENAMETOOLONG
    assert refusal(tmp_path / "file", "log") == errno.ENOTDIR


def test_a_device_is_opened_where_the_operator_says_so() -> None:
    with opened(Path("/dev"), "null") as number:
        assert os.write(number, b"gone") == 4
