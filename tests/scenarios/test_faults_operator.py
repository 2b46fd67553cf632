"""Fault matrix: what operators and their tools do to a relay under load."""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import numbered, numbers, stream, told
from tests.scenarios.harness.process import ADMIN, RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import Load, connected
from tests.scenarios.harness.waiting import until

BURST = 50
TURNS = 5
WINDOW = 4096  # messages on their way to a receiver
SLACK_SECONDS = 1.5  # for the last words, the end of the process, and a busy machine

FILE = """
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
TWO_DEAD = """
[relay]
drain_max = "@drain@"

[listeners]
net = { type = "tcp", listen = ["127.0.0.1:@net@"] }
internal = { type = "internal" }

[destinations]
live = { type = "tcp", address = "127.0.0.1:@live@", framing = "lf" }
dead = { type = "tcp", address = "127.0.0.1:@dead@", framing = "lf" }
deaf = { type = "tcp", address = "127.0.0.1:@deaf@", framing = "lf" }

[pipes]
to-live = { from = "*", to = "live", spool = "never" }
to-dead = { from = "net", to = "dead", spool = "always", overflow = "block" }
to-deaf = { from = "net", to = "deaf", spool = "never", messages = 1000000 }
"""
ONE = """
[relay]
drain_max = "300ms"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
siem = { type = "tcp", address = "127.0.0.1:@siem@", framing = "lf" }
ring = { type = "memory" }

[pipes.ring]
from = "net"
to = "ring"

[pipes.@name@]
from = "net"
to = "siem"
spool = "always"
"""


def _check_once(paths: Sequence[Path], count: int) -> None:
    """Each message is in exactly one file, and they follow each other; no hole anywhere."""
    data = b"".join(path.read_bytes() for path in paths)
    assert b"\0" not in data
    assert numbers(data.splitlines()) == {"a": list(range(count))}


@contextmanager
def _loaded(relay: RelayProcess) -> Iterator[Load]:
    """Under load while inside; after it everything is stored."""
    with connected(relay.port("net")) as sender:

        def send(turn: int) -> None:
            sender.sendall(stream(numbered(BURST, start=turn * BURST), "lf"))

        with relay.watched(), Load(send) as load:
            yield load
    relay.until(
        lambda books: books["pipes"]["store"]["delivered"]["stored"] == load.sent * BURST,
        "all is stored",
    )


def _grows(path: Path) -> None:
    until(lambda: path.exists() and path.stat().st_size, "lines in the file")


def test_row_36_a_file_that_is_copied_and_truncated(prepare: Prepare) -> None:
    """As logrotate's `copytruncate` does, between two writes: the next line is the first."""
    relay = prepare(FILE)
    relay.start()
    logs = relay.directory / "logs"
    current = logs / "messages.log"
    with _loaded(relay) as load:
        for turn in range(TURNS):
            _grows(current)
            relay.pause()
            shutil.copyfile(current, logs / f"messages.{turn}")
            os.truncate(current, 0)
            relay.resume()
    assert relay.stop() == 0
    _check_once([*sorted(logs.glob("messages.[0-9]")), current], load.sent * BURST)


def test_row_36_a_file_that_is_deleted(prepare: Prepare) -> None:
    """Somebody removes the file under load. It is there again by itself; the old one is whole."""
    relay = prepare(FILE)
    relay.start()
    logs = relay.directory / "logs"
    current = logs / "messages.log"
    with _loaded(relay) as load:
        for turn in range(2):
            _grows(current)
            os.link(current, logs / f"messages.{turn}")  # what a reader still has
            current.unlink()
        _grows(current)
    assert relay.stop() == 0
    _check_once([*sorted(logs.glob("messages.[0-9]")), current], load.sent * BURST)


def test_row_36_a_storm_of_signals_while_files_rotate(prepare: Prepare) -> None:
    """SIGHUP comes faster than it can be obeyed, and the file is renamed again and again."""
    relay = prepare(FILE)
    relay.start()
    logs = relay.directory / "logs"
    current = logs / "messages.log"
    with _loaded(relay) as load:
        for turn in range(2 * TURNS):
            _grows(current)
            current.rename(logs / f"messages.{turn:02}")
            for _ in range(20):
                relay.signal(signal.SIGHUP)
        _grows(current)
    assert relay.stop() == 0
    _check_once([*sorted(logs.glob("messages.[0-9]*")), current], load.sent * BURST)


def test_row_37_a_stop_with_a_dead_and_a_deaf_destination(prepare: Prepare) -> None:
    """What the dead one should get stays in its spool; what the deaf one does not take is told.

    The stop takes no longer than it may, a second signal or not, and the next process delivers the
    rest from disk.
    """
    count = 100_000
    with StreamReceiver() as live, StreamReceiver(deaf=True) as deaf:
        relay = prepare(TWO_DEAD, {"live": live.port, "deaf": deaf.port, "drain": "1s"})
        relay.start()
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(count), "lf"))
        relay.until(lambda books: books["listeners"]["net"]["received"] == count, "all came")
        began = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - began < 1 + SLACK_SECONDS
        live.wait_ended()
        deaf.listen_now()
        deaf.wait_ended()
        assert numbers(live.messages)["a"] == list(range(count))
        # What the deaf one's kernel had not acknowledged is told as lost, and may still come.
        told_twice = told(live.messages)["deaf", "shutdown"] + len(deaf.messages) - count
        assert 0 <= told_twice <= WINDOW
        with StreamReceiver(port=relay.port("dead")) as dead:
            relay.start()
            dead.wait_for(b"seq=%d;" % (count - 1))
            relay.until(lambda it: not total(it["pipes"]["to-dead"]["held"]), "all is delivered")
            assert relay.stop() == 0
            assert numbers(dead.messages)["a"] == list(range(count))


def test_row_38_a_pipe_that_is_renamed_with_a_backlog(prepare: Prepare) -> None:
    """Its spool stays behind under the old name and is shown; named so again, it is delivered."""

    def rename(name: str) -> None:
        relay.write(ADMIN + ONE.replace("@name@", name))
        relay.reload()

    def send(start: int, stop: int) -> None:
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(stop - start, start=start), "lf"))
        relay.until(lambda books: books["pipes"]["ring"]["received"] == stop, "they came")

    def orphans(name: str) -> int:
        held: int = relay.ledger()["pipes"][name]["held"]["orphan"]
        return held

    relay = prepare(ONE, {"name": "first"})
    relay.start()
    send(0, 1000)
    rename("second")
    until(lambda: orphans("first") == 1000, "the backlog of the first is an orphan")
    send(1000, 1500)
    rename("first")
    until(lambda: orphans("second") == 500, "the backlog of the second is an orphan")
    assert orphans("first") == 0
    with StreamReceiver(port=relay.port("siem")) as siem:
        siem.wait_for(b"seq=999;")
        rename("second")
        siem.wait_for(b"seq=1499;")
        relay.until(lambda books: not books["totals"]["held"], "all is delivered")
        assert numbers(siem.messages)["a"] == list(range(1500))
        assert relay.stop() == 0
