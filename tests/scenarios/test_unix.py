"""Programs on the same machine, which must never hang because a collector is slow."""

import os
import socket
import stat
import time
from pathlib import Path

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.waiting import SECONDS_MAX

CONFIG = """
[relay]
drain_max = "1s"

[listeners.programs]
type = "unix"
path = "log.sock"
mode = "0622"

[listeners.streams]
type = "unix"
kind = "stream"
path = "stream.sock"

[destinations.peer]
type = "tcp"
confirm = "sent"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
spool = "never"
from = "*"
to = "peer"
overflow = "block"
messages = 100
"""

WAIT_SECONDS_MAX = 3.0  # one second, and a busy machine


def _program(path: Path, kind: int = socket.SOCK_DGRAM) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.settimeout(SECONDS_MAX)
    sock.connect(os.path.relpath(path))
    return sock


def test_blocked_pipe(prepare: Prepare) -> None:
    """The pipe is full and must not drop, and a program goes on logging as fast as it can.

    No call of it takes much longer than a second: then the relay reads on, drops the batch and
    counts it. What the peer gets when it reads at last is what the books say.
    """
    with StreamReceiver(deaf=True) as peer:
        relay = prepare(CONFIG, {"peer": peer.port})
        relay.start()
        text = b"x" * 60_000  # few of them fill the kernel's buffers
        slowest, sent = 0.0, 0
        with _program(relay.directory / "log.sock") as program:
            while slowest < 0.5 or total(relay.ledger()["pipes"]["forward"]["dropped"]) < 3:
                began = time.monotonic()
                program.send(b"<13>1 - h app - - - %d %b" % (sent, text))
                sent += 1
                slowest = max(slowest, time.monotonic() - began)
        assert slowest < WAIT_SECONDS_MAX
        pipe = relay.until(
            lambda books: books["listeners"]["programs"]["received"] == sent, "all is received"
        )["pipes"]["forward"]
        assert pipe["dropped"]["full"] == total(pipe["dropped"])
        peer.listen_now()
        relay.until(
            lambda books: not total(books["pipes"]["forward"]["held"]), "the rest is delivered"
        )
        assert relay.stop() == 0
        peer.wait_ended()
        assert len(peer.messages) == sent - pipe["dropped"]["full"]


def test_kill_9_and_start_again(prepare: Prepare) -> None:
    """The relay is killed and leaves its sockets behind. It is started again and replaces them.

    Their permissions are as configured. A second relay on the same paths says that they are taken
    and leaves them alone. After an orderly stop nothing is left.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port})
        paths = [relay.directory / "log.sock", relay.directory / "stream.sock"]
        relay.start()
        relay.kill()
        assert all(stat.S_ISSOCK(path.lstat().st_mode) for path in paths)
        relay.start()
        assert stat.S_IMODE(paths[0].stat().st_mode) == 0o622

        (relay.directory / "other").mkdir()
        second = prepare(
            CONFIG.replace('path = "', 'path = "../'),
            {"peer": peer.port},
            directory=relay.directory / "other",
        )
        second.start()
        status, body = second.get("/readyz")
        assert status == 503
        assert b"programs" in body
        assert second.log.count("in use by another process") >= 1
        assert second.stop() == 0

        with _program(paths[0]) as program:
            program.send(numbered(1)[0])
        with _program(paths[1], socket.SOCK_STREAM) as program:
            program.sendall(stream(numbered(1, "b"), "octet"))
        relay.until(
            lambda books: books["pipes"]["forward"]["delivered"]["sent"] == 2, "both are delivered"
        )
        assert relay.stop() == 0
        peer.wait_ended()
        assert numbers(peer.messages) == {"a": [0], "b": [0]}
        assert not any(path.exists() for path in paths)
