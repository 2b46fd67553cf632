"""Files under an operator's hands: rotated away, and on a disk that is full."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import in_order, numbered, numbers, stream, told
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import Load, connected
from tests.scenarios.harness.waiting import until

ROTATIONS = 20
BURST = 50

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.log]
type = "file"
path = "@directory@/logs/messages.log"

[pipes.store]
from = "net"
to = "log"
"""


def _lines(path: Path) -> list[bytes]:
    data = path.read_bytes()
    assert not data or data.endswith(b"\n")
    return data.splitlines()


@pytest.mark.parametrize("with_signal", [True, False])
def test_rotation(prepare: Prepare, with_signal: bool) -> None:
    """The file is renamed under load, as logrotate does, with SIGHUP after it and without.

    Every message is in exactly one file, and the files follow each other. Without a signal the
    relay finds out by itself.
    """
    relay = prepare(CONFIG)
    relay.start()
    logs = relay.directory / "logs"
    current = logs / "messages.log"
    rotations = ROTATIONS if with_signal else 3
    with connected(relay.port("net")) as sender:

        def send(turn: int) -> None:
            sender.sendall(stream(numbered(BURST, start=turn * BURST), "lf"))

        with relay.watched(), Load(send) as load:
            for turn in range(rotations):
                until(lambda: current.exists() and current.stat().st_size, "lines in the file")
                current.rename(logs / f"messages.{turn:02}")
                if with_signal:
                    relay.reload()
            until(lambda: current.exists() and current.stat().st_size, "lines in the last file")
    sent = load.sent * BURST
    relay.until(
        lambda books: books["pipes"]["store"]["delivered"]["stored"] == sent, "all is stored"
    )
    assert relay.stop() == 0
    files = [*sorted(logs.glob("messages.[0-9]*")), current]
    assert len(files) == rotations + 1
    found = numbers(line for path in files for line in _lines(path))
    assert found == {"a": list(range(sent))}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "logs"
    path.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_full_disk(prepare: Prepare, small_disk: Path) -> None:
    """The disk fills up under load, and an operator makes room.

    Meanwhile the relay holds what comes and says why. Then each message is in the file once, and
    no line is torn.
    """
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (200 << 10))
    relay = prepare(CONFIG)
    relay.start()
    messages = numbered(2000)
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(messages[:1000], "octet"))
        books = relay.until(
            lambda books: "No space left on device" in books["pipes"]["store"]["down_reason"],
            "the disk is full",
        )
        pipe = books["pipes"]["store"]
        assert 0 < total(pipe["held"]) < 1000
        assert pipe["delivered"]["stored"] + total(pipe["held"]) == pipe["received"]
        sender.sendall(stream(messages[1000:], "octet"))
        relay.until(
            lambda books: books["pipes"]["store"]["received"] == 2000, "more comes meanwhile"
        )
    assert relay.log.count("No space left on device") == 1
    ballast.unlink()
    relay.until(
        lambda books: books["pipes"]["store"]["delivered"]["stored"] == 2000, "all is stored"
    )
    assert relay.ledger()["pipes"]["store"]["retried"] > 0
    assert relay.stop() == 0
    found = numbers(_lines(small_disk / "messages.log"))["a"]
    assert len(found) == 2000
    assert in_order(found)


STORE_AND_TELL = (
    CONFIG
    + """
[listeners.internal]
type = "internal"

[destinations]
siem = { type = "tcp", address = "127.0.0.1:@siem@", framing = "lf" }

[pipes.siem]
from = "internal"
to = "siem"
spool = "never"
"""
).replace('to = "log"', 'to = "log"\nmessages = 500')


@pytest.mark.parametrize("ending", ["sighup", "sigterm"])
def test_a_signal_while_the_disk_is_full(prepare: Prepare, small_disk: Path, ending: str) -> None:
    """The disk is full, and so is the pipe, when the operator reloads, or stops the relay.

    The reload costs nothing: what is held is written when there is room. The stop books what is
    held. Either way the collector hears of every loss to the message, under the destination's name,
    and the file is what was delivered.
    """
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (200 << 10))
    with StreamReceiver() as siem:
        relay = prepare(STORE_AND_TELL, {"siem": siem.port})
        relay.start()
        with connected(relay.port("net")) as sender:
            for turn in range(40):
                sender.sendall(stream(numbered(50, start=turn * 50), "octet"))
                relay.until(partial(_received, (turn + 1) * 50), "it is received")
        books = relay.until(_lost, "the pipe is full")
        siem.wait_for(b"to destination log: full")
        if ending == "sighup":
            held = total(books["pipes"]["store"]["held"])
            relay.reload()
            relay.reload()
            assert total(relay.ledger()["pipes"]["store"]["held"]) == held > 0
            ballast.unlink()
            books = relay.until(_empty, "there is room, and all is written")
        assert relay.stop() == 0
        siem.wait_ended()
        news = told(siem.messages)
    pipe = books["pipes"]["store"]
    lines = numbers(_lines(small_disk / "messages.log"))["a"]
    assert in_order(lines)
    assert news["log", "full"] == pipe["dropped"]["full"]
    assert news.get(("log", "shutdown"), 0) == total(pipe["held"])
    assert len(lines) == pipe["delivered"]["stored"]
    assert len(lines) + sum(news.values()) == 2000


def _received(messages: int, books: Books) -> bool:
    return bool(books["pipes"]["store"]["received"] == messages)


def _lost(books: Books) -> bool:
    return bool(total(books["pipes"]["store"]["dropped"]))


def _empty(books: Books) -> bool:
    return total(books["pipes"]["store"]["held"]) == 0
