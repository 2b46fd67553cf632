"""More clients, or more files, than descriptors."""

import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books
from tests.scenarios.harness.injection import cannot_inject, failing
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.process import ADMIN
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import all_connected, connected
from tests.scenarios.harness.waiting import until

DESCRIPTORS = 64
CLIENTS = 150
LINES = 10
EPISODE = "accept deferred"

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.peer]
type = "tcp"
confirm = "sent"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
spool = "never"
from = "net"
to = "peer"
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("prlimit"), reason="prlimit (util-linux) is not installed"
)


def test_more_clients_than_descriptors(prepare: Prepare) -> None:
    """150 clients connect to a relay that may have 64 descriptors.

    It serves those it can, looks once a second whether there is room for more, says so once, and
    does not burn the processor meanwhile. Whenever clients leave, others are accepted, until every
    line has arrived.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port}, launcher=_limited(DESCRIPTORS))
        relay.start()
        with all_connected(relay.port("net"), CLIENTS) as clients:
            for number, client in enumerate(clients):
                client.sendall(stream(numbered(LINES, f"c{number}"), "lf"))
            relay.until(lambda books: _deferred(books) >= 1, "there is no descriptor left")
            before, began = relay.cpu_seconds, time.monotonic()
            relay.until(lambda books: _deferred(books) >= 4, "it has looked for one again")
            assert time.monotonic() - began > 2
            assert relay.cpu_seconds - before < 1.5  # of three seconds, the scrapes included
            assert 0 < _accepted(relay.ledger()) < CLIENTS
        relay.until(
            lambda books: (
                _accepted(books) == CLIENTS
                and books["pipes"]["forward"]["delivered"]["sent"] == CLIENTS * LINES
            ),
            "every line is delivered",
        )
        assert relay.log.count(EPISODE) == 1
        assert relay.stop() == 0
        peer.wait_ended()
        assert numbers(peer.messages) == {
            f"c{number}": list(range(LINES)) for number in range(CLIENTS)
        }


def test_destination_comes_back_meanwhile(prepare: Prepare) -> None:
    """The same, and the destination restarts while its relay is short of descriptors.

    Clients must not take the last of them: the destination is reached again, the metrics can be
    read by whoever asks anew, and everything that was sent arrives.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port}, launcher=_limited(DESCRIPTORS))
        relay.start()
        with all_connected(relay.port("net"), CLIENTS) as clients:
            until(lambda: EPISODE in relay.log, "there is no descriptor left")
            peer.hang_up()
            clients[0].sendall(stream(numbered(LINES), "lf"))
            relay.until(
                lambda books: books["pipes"]["forward"]["delivered"]["sent"] == LINES,
                "the destination is reached again",
            )
        assert relay.stop() == 0


FEW = 30  # as few as OpenBSD's tests of its syslogd leave
CROWD = 60

EDGE = """
[relay]
drain_max = "5s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.datagrams]
type = "udp"
listen = ["127.0.0.1:@datagrams@"]

[listeners.programs]
type = "unix"
path = "log.sock"

[listeners.internal]
type = "internal"

[destinations.peer]
type = "tcp"
address = "localhost:@peer@"
framing = "lf"

[pipes.forward]
from = "*"
to = "peer"
"""


def test_thirty_descriptors(prepare: Prepare) -> None:
    """30 descriptors, 60 clients, a pipe that spools, and a destination that is away at first.

    Datagrams and what programs of this machine log come in as ever. A reload works, the metrics can
    be read, and the destination is reached when it is there. Nothing burns the processor. As
    clients leave, the others are let in: all that was sent arrives, and the fault is told once.
    """
    with StreamReceiver() as peer:
        relay = prepare(EDGE, launcher=_limited(FEW))  # to a port on which nobody listens
        relay.start()
        with all_connected(relay.port("net"), CROWD) as clients:
            for number, client in enumerate(clients):
                client.sendall(stream(numbered(LINES, f"c{number}"), "lf"))
            relay.until(lambda books: _deferred(books) >= 1, "there is no descriptor left")
            assert 0 < _accepted(relay.ledger()) < CROWD
            with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
                for message in numbered(LINES, "udp"):
                    datagrams.sendto(message, ("127.0.0.1", relay.port("datagrams")))
            _log_locally(relay.directory / "log.sock", numbered(LINES, "unix"))
            relay.until(
                lambda books: all(
                    books["listeners"][name]["received"] == LINES
                    for name in ("datagrams", "programs")
                ),
                "the other listeners receive",
            )
            relay.reload()
            before, began = relay.cpu_seconds, time.monotonic()
            deferred = _deferred(relay.ledger())
            relay.until(lambda books: _deferred(books) >= deferred + 3, "it looks once a second")
            assert relay.cpu_seconds - before < (time.monotonic() - began) / 2  # scrapes included
            relay.write(ADMIN + EDGE.replace("@peer@", str(peer.port)))
            relay.reload()
            peer.wait_for(b"from=unix seq=9;")
        relay.until(lambda books: _accepted(books) == CROWD, "all are let in")
        assert relay.stop() == 0
        peer.wait_ended()
        expected = {f"c{number}": list(range(LINES)) for number in range(CROWD)}
        expected |= {"udp": list(range(LINES)), "unix": list(range(LINES))}
        assert numbers(peer.messages) == expected
        assert relay.log.count(EPISODE) == 1
        assert b"listener net: accept deferred: Too many open files" in b"".join(peer.messages)


INPUTS = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.datagrams]
type = "udp"
listen = ["127.0.0.1:@datagrams@"]
"""

FILES = [
    f"""
[destinations.file{number}]
type = "file"
path = "@directory@/logs/{number}.log"

[pipes.to{number}]
from = "*"
to = "file{number}"
"""
    for number in range(20)
]


def test_more_files_than_descriptors(prepare: Prepare) -> None:
    """20 log files and 30 descriptors: as many are written as can be opened.

    The others are down and say so, and what is for them is held. No client is let in, for it would
    take what a file needs; it waits in the kernel. After a reload with fewer files everything is
    written, and the client is let in.
    """
    relay = prepare(INPUTS + "".join(FILES), launcher=_limited(FEW))
    relay.start()
    assert "30 descriptors are few: 72 may be needed" in relay.log
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for message in numbered(LINES, "udp"):
            datagrams.sendto(message, ("127.0.0.1", relay.port("datagrams")))
    books = relay.until(_has_tried_twice, "files that can be opened are written")
    up = [name for name, pipe in books["pipes"].items() if pipe["state"] == "up"]
    assert 10 <= len(up) < 20
    for name, pipe in books["pipes"].items():
        assert pipe["delivered"]["stored"] == (LINES if name in up else 0)
        assert sum(pipe["held"].values()) == (0 if name in up else LINES)
        assert ("Too many open files" in pipe["down_reason"]) == (name not in up)
        assert relay.log.count(f"destination file{name[2:]} is down: ") <= 1
    with connected(relay.port("net")) as client:
        client.sendall(stream(numbered(LINES, "tcp"), "lf"))
        relay.until(lambda books: _deferred(books) >= 2, "accepting is deferred")
        assert _accepted(relay.ledger()) == 0

        relay.reload()  # all files are closed and opened again, and there are no more of them
        relay.until(lambda books: _up(books) == len(up), "as many are open as before")
        assert _accepted(relay.ledger()) == 0
        relay.write(ADMIN + INPUTS + "".join(FILES[12:]))
        relay.reload()
        books = relay.until(lambda books: _up(books) == 8, "all that are left are open")
        relay.until(lambda books: _accepted(books) == 1, "the client is let in")
        relay.until(
            lambda books: all(
                books["pipes"][f"to{number}"]["delivered"]["stored"] == 2 * LINES
                for number in range(12, 20)
            ),
            "everything is written",
        )
    assert relay.stop() == 0
    for number in range(12, 20):
        lines = (relay.directory / "logs" / f"{number}.log").read_bytes().splitlines()
        assert numbers(lines) == {name: list(range(LINES)) for name in ("tcp", "udp")}


@pytest.mark.skipif(bool(cannot_inject()), reason=cannot_inject())
def test_the_host_has_no_descriptor_left(prepare: Prepare) -> None:
    """Not the relay but the whole host has too many files open, for some seconds (ENFILE).

    A client and its message wait in the kernel, and come in by themselves.
    """
    with StreamReceiver() as peer:
        launcher = failing(Path("/dev/null"), "accept4:error=ENFILE:when=1..3")
        relay = prepare(EDGE, {"peer": peer.port}, launcher=launcher)
        relay.start()
        with connected(relay.port("net")) as client:
            client.sendall(stream(numbered(LINES), "lf"))
            peer.wait_for(b"from=a seq=9;")
            deferred = _deferred(relay.ledger())
        assert 1 <= deferred <= 3  # the admin server and others accept, too
        assert relay.log.count("listener net: accept deferred: Too many open files in system") == 1
        assert relay.stop() == 0


def test_reloads_leave_no_descriptor_open(prepare: Prepare) -> None:
    """Listeners, pipes and their destinations come and go, and so do their descriptors."""
    with StreamReceiver() as peer:
        relay = prepare(EDGE, {"peer": peer.port})
        relay.start()
        more = '[listeners.more]\ntype = "tcp"\nlisten = ["127.0.0.1:@more@"]\n'
        relay.until(lambda books: _up(books) == 1, "the first is reached")
        before = len(_open_files(relay.pid))
        for _ in range(3):
            relay.write(ADMIN + EDGE + more + "".join(FILES))
            relay.reload()
            _log_locally(relay.directory / "log.sock", numbered(LINES))
            relay.until(lambda books: _up(books) == 21, "all are reached")
            relay.write(ADMIN + EDGE)
            relay.reload()
            relay.until(lambda books: _up(books) == 1, "they are gone")
            until(lambda: len(_open_files(relay.pid)) <= before, "all is closed again")
        assert relay.stop() == 0


def _open_files(process: int) -> Sequence[str]:
    return os.listdir(f"/proc/{process}/fd")


def _limited(descriptors: int) -> Sequence[str]:
    return ("prlimit", f"--nofile={descriptors}:{descriptors}")


def _log_locally(path: Path, messages: Sequence[bytes]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
        program.connect(str(path))
        for message in messages:
            program.send(message)


def _has_tried_twice(books: Books) -> bool:
    return all(it["state"] == "up" or it["failures"] >= 2 for it in books["pipes"].values())


def _up(books: Books) -> int:
    return sum(1 for pipe in books["pipes"].values() if pipe["state"] == "up")


def _deferred(books: Books) -> int:
    deferred: int = books["listeners"]["net"]["connections"]["deferred"]
    return deferred


def _accepted(books: Books) -> int:
    accepted: int = books["listeners"]["net"]["connections"]["accepted"]
    return accepted
