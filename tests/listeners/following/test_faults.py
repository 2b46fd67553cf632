"""What the follower does when the system says no: nothing is lost, each fault is told once."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.system.ports import LogFile
from tests.listeners.following.parts import Bench


def refuse(bench: Bench, number: int, name: str) -> Callable[[], None]:
    """Let opening files of this name fail; returns how to end that."""
    ports = bench.follower._ports
    real = ports.open

    def fail(path: str) -> LogFile:
        if os.path.basename(path).startswith(name):
            raise OSError(number, os.strerror(number), path)
        return real(path)

    ports.open = fail  # type: ignore[method-assign]

    def end() -> None:
        ports.open = real  # type: ignore[method-assign]

    return end


@pytest.mark.parametrize(
    ("number", "reason", "text"),
    [
        (errno.EMFILE, "descriptors", "opens no more files: Too many open files"),
        (errno.ENFILE, "descriptors", "opens no more files: Too many open files in system"),
        (errno.EACCES, "permission", "cannot read {path}: Permission denied"),
        (errno.EIO, "read", "cannot read {path}: Input/output error"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told_once_and_read_later(
    tmp_path: Path, number: int, reason: str, text: str
) -> None:
    bench = Bench.at(tmp_path, "*.log")
    bench.append("one\n", "a.log")
    bench.append("two\n", "b.log")
    end = refuse(bench, number, "a.log")
    for _ in range(5):
        bench.turn()
    assert bench.lines == [b"two"]
    assert bench.told[reason] == 1
    assert bench.texts == [text.format(path=tmp_path / "a.log")]
    end()
    bench.turn()
    assert bench.lines == [b"two", b"one"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES])
def test_a_copy_that_cannot_be_opened_for_a_moment_is_found_later(
    tmp_path: Path, number: int
) -> None:
    """What was truncated away and not read is waited for as long as a file must be quiet."""
    bench = Bench.at(tmp_path)
    bench.append(f"{'x' * 90} 1\n")
    bench.turn()
    bench.append(f"{'x' * 90} 2\n")
    end = refuse(bench, number, "app.log.1")
    bench.copytruncate()
    bench.append("3\n")
    bench.turn()
    bench.turn()
    end()
    bench.run_dry()
    assert sorted(line[-1:] for line in bench.lines) == [b"1", b"2", b"3"]
    assert bench.told["lost"] == 0


def test_a_damaged_archive_of_what_was_not_read_is_lost_and_told(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.append("of another log" * 100, "app.log.1")
    bench.stop()
    bench.compress("app.log.1")
    whole = bench.path("app.log.1.gz").read_bytes()
    bench.path("app.log.1.gz").write_bytes(whole[:20])
    bench.start()
    bench.run_dry()
    assert bench.lines == [b"one"]
    assert bench.told["lost"] == 1
    assert bench.lost_octets == 20
    assert bench.texts[-1].endswith("app.log.1.gz is damaged: 20 octets of it were never read")


def test_a_damaged_archive_of_what_was_read_is_no_loss(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append(
        b"".join(b"%d %s\n" % (number, os.urandom(30).hex().encode()) for number in range(99))
    )
    bench.run_dry()
    bench.rename()
    bench.run_dry()
    bench.compress("app.log.1")
    whole = bench.path("app.log.1.gz").read_bytes()
    bench.path("app.log.1.gz").write_bytes(whole[: len(whole) // 2])
    bench.run_dry()
    assert len(bench.lines) == 99
    assert bench.told["lost"] == 0


def test_what_was_open_is_read_though_its_name_goes_before_it_is_known(tmp_path: Path) -> None:
    """Another content in an inode that was followed, rotated, and deleted within the same look."""
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    Path(bench.path()).write_text("two\n")  # truncated and filled anew, nobody has looked
    os.rename(bench.path(), bench.path("app.log.1"))
    delete_before_opening(bench, "app.log.1")
    bench.run_dry()
    assert bench.lines == [b"one", b"two"]


def delete_before_opening(bench: Bench, name: str) -> None:
    ports = bench.follower._ports
    real = ports.open

    def delete(path: str) -> LogFile:
        if os.path.basename(path) == name:
            os.unlink(path)
        return real(path)

    ports.open = delete  # type: ignore[method-assign]
