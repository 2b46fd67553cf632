import errno
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from relay.system.append_file import AppendFile
from relay.system.confined import open_confined

OpenFile = Callable[[Path], AppendFile]


@pytest.fixture
def open_file(closing: ExitStack) -> OpenFile:
    def open_file(path: Path) -> AppendFile:
        file = AppendFile(open_confined(str(path.parent), path.name, 0o640), str(path))
        closing.callback(file.close)
        return file

    return open_file


@contextmanager
def file_size_max(octets: int) -> Iterator[None]:
    """Where a write ends, as on a full disk: it is cut there, the next one gives EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_are_appended(tmp_path: Path, open_file: OpenFile) -> None:
    file = open_file(tmp_path / "log")
    assert file.append([b"one\ntwo\n"], sync=False) == 8
    assert file.append([b"three\n", b"four\nfive\n"], sync=True) == 16
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\nfour\nfive\n"


def test_more_texts_than_one_call_takes_are_appended(tmp_path: Path, open_file: OpenFile) -> None:
    file = open_file(tmp_path / "log")
    texts = [b"%d\n" % number for number in range(3000)]
    text = b"".join(texts)
    assert file.append(texts, sync=False) == len(text)
    assert (tmp_path / "log").read_bytes() == text


def test_what_fits_of_a_line_is_cut_away_again(tmp_path: Path, open_file: OpenFile) -> None:
    file = open_file(tmp_path / "log")
    lines = [b"%04d\n" % number for number in range(10)]
    with file_size_max(23):
        assert file.append([b"".join(lines[:3]), b"".join(lines[3:])], sync=False) == 20
        assert (tmp_path / "log").stat().st_size == 20
        with pytest.raises(OSError, match="too large") as caught:
            file.append(lines[4:], sync=False)
        assert caught.value.errno == errno.EFBIG
        assert (tmp_path / "log").stat().st_size == 20
    assert file.append(lines[4:], sync=False) == 30
    assert (tmp_path / "log").read_bytes() == b"".join(lines)


def test_a_full_disk_keeps_whole_lines_and_goes_on_when_there_is_room(
    small_disk: Path, open_file: OpenFile
) -> None:
    (small_disk / "other").write_bytes(b"x" * 20_000)
    file = open_file(small_disk / "log")
    line = b"y" * 999 + b"\n"
    whole = file.append([line * 100], sync=False)
    assert 0 < whole < len(line) * 100
    assert whole % len(line) == 0
    error = 0
    while not error:  # the rest of the last page still takes a few
        try:
            whole += file.append([line], sync=False)
        except OSError as exc:
            error = exc.errno or -1
    assert error == errno.ENOSPC
    assert (small_disk / "log").read_bytes() == line * (whole // len(line))
    (small_disk / "other").unlink()
    whole += file.append([line] * 5, sync=True)
    assert (small_disk / "log").read_bytes() == line * (whole // len(line))


def test_where_another_has_written_behind_us_a_cut_line_is_ended(
    tmp_path: Path, open_file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file(tmp_path / "log")
    real = os.write

    def writev(number: int, texts: Sequence[bytes]) -> int:
        """Our first write is cut short, then the disk is full; another writes in between."""
        monkeypatch.undo()
        monkeypatch.setattr(os, "write", full)
        taken = real(number, b"".join(texts)[:6])
        with (tmp_path / "log").open("ab") as other:
            other.write(b"|theirs")
        return taken

    def full(number: int, octets: memoryview) -> int:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", writev)
    assert file.append([b"one\n", b"two\n"], sync=False) == 4
    assert file.append([b"two\n"], sync=False) == 4
    assert (tmp_path / "log").read_bytes() == b"one\ntw|theirs\ntwo\n"


def test_a_line_cut_in_a_pipe_is_ended_before_the_next(
    tmp_path: Path, open_file: OpenFile, closing: ExitStack
) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    closing.callback(os.close, reader)
    file = open_file(tmp_path / "pipe")
    line = b"x" * 99_999 + b"\n"  # more than a pipe holds
    with pytest.raises(BlockingIOError):
        file.append([line], sync=True)
    with pytest.raises(BlockingIOError):
        file.append([line], sync=True)
    cut = os.read(reader, 1 << 20)
    assert file.append([b"next\n"], sync=True) == 5
    assert cut == b"x" * len(cut)
    assert os.read(reader, 1 << 20) == b"\nnext\n"


def test_a_device_that_takes_nothing_is_an_error(
    tmp_path: Path, open_file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file(tmp_path / "log")
    for call in "write", "writev":
        monkeypatch.setattr(os, call, lambda _number, _octets: 0)
    with pytest.raises(OSError, match="takes nothing"):
        file.append([b"line\n"], sync=False)


def test_a_line_cut_by_a_crash_does_not_glue_to_the_next(
    tmp_path: Path, open_file: OpenFile
) -> None:
    (tmp_path / "log").write_bytes(b"whole\ncu")
    file = open_file(tmp_path / "log")
    file.append([b"new\n"], sync=False)
    file.append([b"newer\n"], sync=False)
    assert (tmp_path / "log").read_bytes() == b"whole\ncu\nnew\nnewer\n"


def test_a_file_renamed_removed_or_made_anew_is_replaced(
    tmp_path: Path, open_file: OpenFile
) -> None:
    file = open_file(tmp_path / "log")
    assert not file.replaced()
    (tmp_path / "log").rename(tmp_path / "log.1")
    assert file.replaced()
    (tmp_path / "log").write_bytes(b"")
    assert file.replaced()
    (tmp_path / "log.1").rename(tmp_path / "log")
    assert not file.replaced()


def test_closing_is_harmless_when_repeated_and_appending_after_it_is_a_bug(
    tmp_path: Path, open_file: OpenFile
) -> None:
    file = open_file(tmp_path / "log")
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append([b"late\n"], sync=False)
