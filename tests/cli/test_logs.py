"""The log on stderr: its form, and what happens when nobody reads it."""

import logging
import os
import re
import select
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.cli import logs
from relay.cli.logs import LogHandler, Writer, is_journal, start_logging

TOLD = re.compile(rb"(\d+) lines of log were dropped: stderr was blocked\n")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


def record(level: int, text: str) -> logging.LogRecord:
    found = logging.LogRecord("relay.test", level, __file__, 1, text, None, None)
    found.created, found.msecs = 1_795_419_925.25, 250.0
    return found


def written(pipe: tuple[int, int], *, journal: bool, text: str) -> bytes:
    writer = Writer(pipe[1])
    writer.start()
    LogHandler(writer, journal=journal).handle(record(logging.WARNING, text))
    writer.close(5)
    return os.read(pipe[0], 65536)


def test_a_line_has_time_and_level(pipe: tuple[int, int]) -> None:
    line = written(pipe, journal=False, text="disk \udcff full")
    assert line == b"2026-11-23T07:45:25.250Z warning disk \\udcff full\n"


def test_the_journal_gets_the_severity_before_every_line(pipe: tuple[int, int]) -> None:
    assert written(pipe, journal=True, text="one\ntwo") == b"<4>one\n<4>two\n"


def test_only_the_journal_itself_is_the_journal(pipe: tuple[int, int]) -> None:
    status = os.fstat(pipe[1])
    environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    assert is_journal(environ, pipe[1])
    assert not is_journal({"JOURNAL_STREAM": "8:1"}, pipe[1])
    assert not is_journal({}, pipe[1])
    assert not is_journal(environ, 9999)


def test_a_blocked_reader_blocks_nobody_and_what_is_lost_is_told(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = Writer(descriptor)
    writer.start()
    lines, length = 3 * logs.LINES_MAX, 100
    began = time.monotonic()
    for number in range(lines):
        writer.add((b"%d" % number).ljust(length) + b"\n")
    assert time.monotonic() - began < 5
    writer.close(0.01)  # nobody reads: there is no time to write all
    assert writer.overflowed > 0
    read = b""
    while explained(read) < lines and select.select([reader], [], [], 10)[0]:
        read += os.read(reader, 1 << 20)
    assert explained(read) == lines
    assert TOLD.search(read)
    assert read.startswith(b"0 ")


def explained(log: bytes) -> int:
    """The lines that are there, and those that the log says it has dropped."""
    told = [int(number) for number in TOLD.findall(log)]
    return log.count(b"\n") - len(told) + sum(told)


def test_a_closed_stderr_is_no_fault(pipe: tuple[int, int]) -> None:
    writer = Writer(9999)
    writer.start()
    writer.add(b"line\n")
    writer.close(5)
    assert not writer._thread.is_alive()


@pytest.mark.parametrize(
    ("level", "stderr", "relay"),
    [("debug", 10, 10), ("info", 20, 20), ("warning", 30, 20), ("error", 40, 20)],
)
def test_own_messages_do_not_depend_on_what_stderr_shows(
    level: str, stderr: int, relay: int
) -> None:
    root, ours = logging.getLogger(), logging.getLogger("relay")
    before = root.handlers, root.level, ours.level, logging.raiseExceptions
    try:
        with closing(_Closing(start_logging(level, {}))):
            assert [handler.level for handler in root.handlers] == [stderr]
            assert ours.level == relay
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])
        logging.raiseExceptions = before[3]
        logging.captureWarnings(False)


class _Closing:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def close(self) -> None:
        self._writer.close(5)
