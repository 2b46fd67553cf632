"""Messages into real named pipes, whose reader is the test."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from relay.destinations.fifo import FifoDestination
from tests.destinations.conftest import MakeRig

MESSAGES = [b"<13>message %d" % n for n in range(20)]


def fifo(path: Path, **keys: object) -> FifoDestination:
    return FifoDestination.model_validate({"type": "fifo", "path": str(path), **keys})


def lines(*messages: bytes) -> bytes:
    return b"".join(message + b"\n" for message in messages)


class Reader:
    """Somebody who reads a named pipe when told to."""

    def __init__(self, path: Path) -> None:
        self._number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.data = b""

    def read(self, octets: int = 1 << 20) -> bytes:
        with suppress(BlockingIOError):
            self.data += os.read(self._number, octets)
        return self.data

    async def reads(self, wanted: bytes, octets: int = 1 << 20) -> None:
        with trio.fail_after(10):
            while self.read(octets) != wanted:
                assert wanted.startswith(self.data)
                await trio.sleep(0.0005)

    def leave(self) -> None:
        with suppress(OSError):
            os.close(self._number)
        self._number = -1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    yield reader
    reader.leave()


async def test_one_line_each(make_rig: MakeRig, path: Path, reader: Reader) -> None:
    rig = make_rig()
    rig.put(*MESSAGES)
    rig.put(b"<13>a\x1b[2J\nb\xff\tc")
    async with rig.delivering(fifo(path)):
        await reader.reads(lines(*MESSAGES, b"<13>a#033[2J#012b#377\tc"))
        await rig.delivered()
        assert rig.account.up
    assert rig.acked() == len(MESSAGES) + 1
    assert rig.account.in_doubt == 0


async def test_nobody_reads_is_a_state_and_the_reader_that_comes_has_everything(
    make_rig: MakeRig, path: Path, short_pauses: None
) -> None:
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(fifo(path)):
        await rig.until(lambda: rig.account.failures > 3)
        assert rig.account.down_reason == f"{path}: nobody reads it"
        assert not rig.account.up
        assert rig.channel.held().messages == len(MESSAGES)
        reader = Reader(path)
        await reader.reads(lines(*MESSAGES))
        await rig.delivered()
        assert rig.account.up
        assert rig.account.down_reason == ""
    reader.leave()


async def test_lines_up_to_pipe_buf_are_whole_and_longer_ones_go_on_in_order(
    make_rig: MakeRig, path: Path, reader: Reader
) -> None:
    """Another one writes to the same pipe: short lines never have anything of his within."""
    rig = make_rig()
    short = [b"<13>%04d %s" % (n, b"x" * (n % 4000)) for n in range(500)]
    long = b"<13>long " + b"y" * 200_000
    other = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    for start in range(0, 500, 50):
        rig.put(*short[start : start + 50])
    async with rig.delivering(fifo(path)):
        with trio.fail_after(20):
            while rig.acked() < 500:
                with suppress(BlockingIOError):
                    os.write(other, b"other\n")
                reader.read(4001)
                await trio.sleep(0)
            rig.put(long)
            rig.put(b"<13>behind")
            while not reader.read(4001).endswith(b"<13>behind\n"):
                await trio.sleep(0)
        os.close(other)
        await rig.delivered()
    read = [line for line in reader.data.split(b"\n") if line != b"other"]
    assert read == [*short, long, b"<13>behind", b""]
    assert b"other" in reader.data


async def test_what_the_reader_has_not_read_when_it_leaves_goes_to_the_next(
    make_rig: MakeRig, path: Path, reader: Reader, short_pauses: None
) -> None:
    """20 lines were taken, it has read 5 and a half: those 5 are delivered."""
    rig = make_rig()
    async with rig.delivering(fifo(path)):
        rig.put(*MESSAGES)
        reader.read(len(lines(*MESSAGES[:5])) + 7)
        while not reader.data:
            await trio.sleep(0.001)
            reader.read(len(lines(*MESSAGES[:5])) + 7)
        await rig.until(lambda: rig.acked() == 5)
        reader.leave()
        rig.put(b"<13>behind")
        await rig.until(lambda: rig.account.failures)
        assert rig.acked() == 5
        again = Reader(path)
        await again.reads(lines(*MESSAGES[5:], b"<13>behind"))
        await rig.delivered()
    again.leave()
    assert rig.acked() == 21
    assert rig.account.in_doubt == 0


async def test_why_it_is_down_says_how_many_come_again(
    make_rig: MakeRig, path: Path, reader: Reader
) -> None:
    rig = make_rig()
    async with rig.delivering(fifo(path)):
        rig.put(*MESSAGES)
        await rig.until(lambda: rig.account.up)
        await rig.until(lambda: rig.channel.held().lent == len(MESSAGES))
        await trio.sleep(0.02)
        reader.leave()
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == f"{path}: its reader has gone, 20 messages come again"


async def test_at_the_end_the_reader_has_what_is_in_the_pipe(
    make_rig: MakeRig, path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may read that later; so it counts as delivered, and is in doubt."""
    monkeypatch.setattr("relay.destinations.lines.READ_SECONDS_MAX", 0.05)
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(fifo(path)):
        await rig.until(lambda: rig.account.up)
        await trio.sleep(0.05)
        assert rig.channel.held().lent == len(MESSAGES)
    assert rig.sent() == rig.account.in_doubt == len(MESSAGES)
    assert reader.read() == lines(*MESSAGES)


async def test_a_reader_that_leaves_in_the_middle_of_a_line_gets_no_rest_of_it(
    make_rig: MakeRig, path: Path, reader: Reader, short_pauses: None
) -> None:
    rig = make_rig()
    long = b"<13>" + b"y" * 200_000
    async with rig.delivering(fifo(path)):
        rig.put(long)
        with trio.fail_after(10):
            while len(reader.read(1000)) < 20_000:
                await trio.sleep(0)
        reader.leave()
        await rig.until(lambda: rig.account.failures)
        again = Reader(path)
        await again.reads(b"\n" + lines(long))
        await rig.delivered()
    again.leave()
    assert rig.acked() == 1


async def test_a_long_line_that_a_cancellation_has_cut_is_not_continued(
    make_rig: MakeRig, path: Path, reader: Reader
) -> None:
    """The same reader has the beginning of the line: the message comes on a line of its own."""
    rig = make_rig()
    long = b"<13>" + b"y" * 100_000
    rig.put(long)
    async with rig.delivering(fifo(path)):
        with trio.fail_after(10):
            while len(reader.read(4096)) < 20_000:
                await trio.sleep(0)
    async with rig.delivering(fifo(path)):
        with trio.fail_after(10):
            while rig.channel.held().messages:
                reader.read()
                await trio.sleep(0.001)
        cut, whole, rest = reader.read().split(b"\n")
    assert whole == long
    assert long.startswith(cut)
    assert rest == b""
    assert rig.account.retried == 1


async def test_a_reader_that_does_not_read_is_stalled(
    make_rig: MakeRig, path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.destinations.session.STALLED_SECONDS", 0.1)
    rig = make_rig()
    messages = [b"<13>%04d %s" % (n, b"x" * 91) for n in range(1000)]
    rig.put(*messages)
    async with rig.delivering(fifo(path)):
        await rig.until(lambda: rig.account.stalled)
        assert rig.account.up
        await reader.reads(lines(*messages))
        await rig.delivered()
        assert not rig.account.stalled
    assert rig.acked() == 1000


async def test_what_lies_unread_in_the_pipe_is_stalled_as_well(
    make_rig: MakeRig, path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for more; nobody wants even this."""
    monkeypatch.setattr("relay.destinations.lines.STALLED_SECONDS", 0.1)
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(fifo(path)):
        await rig.until(lambda: rig.account.stalled)
        await reader.reads(lines(*MESSAGES))
        await rig.delivered()
        assert not rig.account.stalled


async def test_what_is_no_named_pipe_is_a_clear_state(
    make_rig: MakeRig, tmp_path: Path, short_pauses: None
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    rig = make_rig()
    rig.put(b"<13>hello")
    async with rig.delivering(fifo(tmp_path / "file")):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == f"{tmp_path}/file: not a named pipe"
    assert (tmp_path / "file").read_bytes() == b"content"


async def test_a_missing_one_is_made_only_where_the_mode_is_given(
    make_rig: MakeRig, tmp_path: Path, short_pauses: None
) -> None:
    rig = make_rig()
    async with rig.delivering(fifo(tmp_path / "new")):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == f"{tmp_path}/new: no such file or directory"
    assert not (tmp_path / "new").exists()
    async with rig.delivering(fifo(tmp_path / "new", mode="0660")):
        await rig.until(lambda: rig.account.down_reason.endswith("nobody reads it"))
    mode = (tmp_path / "new").stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert mode & 0o777 == 0o660


@pytest.mark.parametrize("ticks", range(0, 30, 3))
async def test_cancelled_at_any_await_nothing_is_lost_or_written_twice(
    ticks: int, make_rig: MakeRig, path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.destinations.lines.READ_SECONDS_MAX", 0.01)
    rig = make_rig()
    messages = [b"<13>%04d %s" % (n, b"x" * 91) for n in range(1500)]
    for start in range(0, 1500, 100):
        rig.put(*messages[start : start + 100])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, fifo(path))
        for _ in range(ticks):
            await trio.sleep(0.0003)
            reader.read(1000)
        nursery.cancel_scope.cancel()
    async with rig.delivering(fifo(path)):
        await reader.reads(lines(*messages))
        await rig.delivered()
    assert rig.sent() + rig.acked() == 1500
