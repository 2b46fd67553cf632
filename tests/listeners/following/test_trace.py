"""A trace fits the content it is of, and nothing else."""

from pathlib import Path

import pytest
import trio

from relay.listeners.following.copies import begins_as, has
from relay.listeners.following.trace import Trace
from relay.system.log_files import SystemLogFiles
from relay.system.ports import LogFile

CONTENT = b"".join(b"line %d\n" % number for number in range(200))


@pytest.fixture
def opened(tmp_path: Path) -> LogFile:
    return written(tmp_path, CONTENT)


def written(directory: Path, content: bytes) -> LogFile:
    path = directory / "a"
    path.write_bytes(content)
    return SystemLogFiles(trio.CapacityLimiter(1)).open(str(path))


@pytest.mark.parametrize("offset", [0, 1, 7, 128, 511, 512, 513, 1000, len(CONTENT)])
def test_a_trace_fits_its_file_and_one_that_is_longer(opened: LogFile, offset: int) -> None:
    assert Trace.at(opened, offset).fits(opened)


@pytest.mark.parametrize("offset", [1, 7, 128, 512, 1000, len(CONTENT)])
def test_a_trace_fits_no_file_that_ends_before_it(
    opened: LogFile, tmp_path: Path, offset: int
) -> None:
    trace = Trace.at(opened, offset)
    assert not trace.fits(written(tmp_path, CONTENT[: offset - 1]))


@pytest.mark.parametrize("place", [0, 100, 511, 900, 999])
def test_a_trace_fits_no_file_that_differs_at_the_beginning_or_the_position(
    opened: LogFile, tmp_path: Path, place: int
) -> None:
    trace = Trace.at(opened, 1000)
    changed = bytearray(CONTENT)
    changed[place] ^= 1
    assert not trace.fits(written(tmp_path, bytes(changed)))


def test_the_trace_of_an_empty_file_fits_anything_and_nobody_has_it(opened: LogFile) -> None:
    assert Trace().fits(opened)
    assert not has(opened, Trace())
    assert not begins_as(opened, Trace())


def test_a_short_content_is_known_only_if_nothing_follows(tmp_path: Path) -> None:
    """A first line that every log begins with proves nothing."""
    trace = Trace.at(written(tmp_path, b"# log\n"), 6)
    assert has(written(tmp_path, b"# log\n"), trace)
    assert not has(written(tmp_path, b"# log\nmore\n"), trace)


def test_what_is_cut_short_begins_as_the_trace_of_the_whole(
    opened: LogFile, tmp_path: Path
) -> None:
    trace = Trace.at(opened, 1000)
    assert begins_as(written(tmp_path, CONTENT[:600]), trace)
    assert not begins_as(written(tmp_path, CONTENT[1:600]), trace)
