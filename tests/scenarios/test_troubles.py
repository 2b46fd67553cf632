"""Whatever hangs, burns or breaks in one pipe delays no other pipe, and not the stop."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected

TURNS = 100
TURN_SECONDS_MAX = 2.0  # there and back takes a millisecond; the machine may be busy
STOP_SECONDS_MAX = 4.0  # drain_max, and the end of the process

CONFIG = """
[relay]
drain_max = "2s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.peer]
type = "tcp"
confirm = "sent"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.healthy]
spool = "never"
from = "net"
to = "peer"
match = { contains = "from=healthy" }
"""

RING = """
[destinations.ring]
type = "memory"
size = "64MiB"

[pipes.ring]
spool = "never"
from = "net"
to = "ring"
"""

NAMES = """
[destinations]
first = { type = "tcp", confirm = "sent", address = "first.example:514" }
second = { type = "udp", address = "second.example:514" }
third = { type = "tcp", confirm = "sent", address = "third.example:514" }

[pipes.healthy]
spool = "never"
from = "net"
to = "peer"
match = { contains = "from=healthy" }

[pipes]
first = { from = "net", to = "first" }
second = { from = "net", to = "second" }
third = { from = "net", to = "third" }
"""

PATTERN = """
[destinations.ring]
type = "memory"

[pipes.pattern]
spool = "never"
from = "net"
to = "ring"
match = { regex = "(a+)+$" }
"""

FORMAT = """
[destinations.ring]
type = "memory"
format = "json"

[pipes.format]
spool = "never"
from = "net"
to = "ring"
"""

# Stands for a bug: a conversion raises for one message.
PLANTED = """
import relay.core.outlet as outlet

convert = outlet.convert

def raising(messages, *args, **keys):
    if any(b"POISON" in message for message in messages):
        raise ZeroDivisionError("planted")
    return convert(messages, *args, **keys)

outlet.convert = raising
"""


def exchange(relay: RelayProcess, peer: StreamReceiver) -> None:
    """Message by message, each arrives before the next one is sent, and soon."""
    slowest = 0.0
    with connected(relay.port("net")) as sender:
        for message in numbered(TURNS, "healthy"):
            began = time.monotonic()
            expected = peer.octets + len(message) + 1
            sender.sendall(stream([message], "lf"))
            peer.wait_octets(expected)
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < TURN_SECONDS_MAX


def stop(relay: RelayProcess) -> None:
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS_MAX


def send(relay: RelayProcess, messages: list[bytes]) -> None:
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(messages, "octet"))


def test_reader_that_never_reads(prepare: Prepare) -> None:
    """Somebody follows a memory ring over HTTP, and his program stops reading.

    Several do, with and without following, while the ring fills and is overwritten.
    """
    with StreamReceiver() as peer, ExitStack() as readers:
        relay = prepare(CONFIG + RING, {"peer": peer.port})
        relay.start()
        send(relay, numbered(300_000))
        relay.until(
            lambda books: books["pipes"]["ring"]["delivered"]["stored"] == 300_000,
            "the ring is filled",
        )
        for query in ("", "?since=0", "?follow=1", "?follow=1&since=0"):
            reader = readers.enter_context(connected(relay.port("admin")))
            reader.sendall(b"GET /memory/ring%b HTTP/1.1\r\nHost: x\r\n\r\n" % query.encode())
            assert reader.recv(15) == b"HTTP/1.1 200 \r\n"[:15]
        send(relay, numbered(100_000))
        exchange(relay, peer)
        assert relay.ledger()["pipes"]["healthy"]["delivered"]["sent"] == TURNS
        stop(relay)


@cache
def cannot_mount() -> str:
    """Why a test cannot give a process files of its own; empty when it can."""
    if not shutil.which("unshare"):
        return "unshare (util-linux) is not installed"
    tried = subprocess.run(
        ["unshare", "-m", "mount", "--bind", "/etc", "/etc"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "mounting is not permitted here"


@contextmanager
def deaf_resolver(directory: Path) -> Iterator[tuple[socket.socket, list[str]]]:
    """A name server that hears questions and answers none, and a launcher that makes it ours."""
    with socket.socket(type=socket.SOCK_DGRAM) as resolver:
        resolver.bind((f"127.{os.getpid() % 200 + 10}.53.53", 53))
        resolver.settimeout(30)
        (directory / "resolv.conf").write_text(
            f"nameserver {resolver.getsockname()[0]}\noptions timeout:30 attempts:3\n"
        )
        (directory / "nsswitch.conf").write_text("hosts: files dns\n")
        script = (
            f"mount --bind {directory}/resolv.conf /etc/resolv.conf && "
            f"mount --bind {directory}/nsswitch.conf /etc/nsswitch.conf && "
            'exec "$@"'
        )
        yield resolver, ["unshare", "-m", "sh", "-c", script, "sh"]


@pytest.mark.skipif(bool(cannot_mount()), reason=cannot_mount())
def test_name_that_hangs(prepare: Prepare, tmp_path: Path) -> None:
    """The name server does not answer, and three destinations are known by name.

    Their look-ups hang in threads for minutes. Nobody waits for them, at the stop neither; what
    they would have got is counted.
    """
    with StreamReceiver() as peer, deaf_resolver(tmp_path) as (resolver, launcher):
        config = CONFIG.partition("[pipes")[0] + NAMES
        relay = prepare(config, {"peer": peer.port}, launcher=launcher)
        relay.start()
        asked: set[bytes] = set()
        while len(asked) < 3:
            question = resolver.recv(512)
            asked |= {name for name in (b"first", b"second", b"third") if name in question}
        exchange(relay, peer)
        books = relay.ledger()["pipes"]
        assert all(total(books[name]["held"]) == TURNS for name in ("first", "second", "third"))
        stop(relay)


def test_pattern_that_backtracks(prepare: Prepare) -> None:
    """An operator writes `(a+)+$`, and somebody sends long rows of `a` that do not end so.

    In a backtracking engine one message of 40 octets takes an hour.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG + PATTERN, {"peer": peer.port})
        relay.start()
        evil = [b"<13>1 2026-11-23T07:28:45Z h app - - - %b!" % (b"a" * 8000) for _ in range(500)]
        send(relay, evil)
        exchange(relay, peer)
        relay.until(
            lambda books: books["pipes"]["pattern"]["received"] == len(evil) + TURNS,
            "all is matched",
        )
        assert relay.ledger()["pipes"]["pattern"]["filtered"] == len(evil) + TURNS
        stop(relay)


def test_message_that_breaks_a_format(prepare: Prepare, tmp_path: Path) -> None:
    """A bug of ours: one message makes the conversion to JSON raise.

    The pipe restarts alone, gives that message up after three failures, counted as
    `internal-error`, and delivers all others.
    """
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    with StreamReceiver() as peer:
        relay = prepare(CONFIG + FORMAT, {"peer": peer.port}, environ={"PYTHONPATH": str(tmp_path)})
        relay.start()
        messages = numbered(1000)
        messages[500] += b" POISON"
        send(relay, messages)
        exchange(relay, peer)

        def given_up(books: Books) -> bool:
            pipe = books["pipes"]["format"]
            return pipe["dropped"]["internal-error"] == 1 and not total(pipe["held"])

        pipe = relay.until(given_up, "the message is given up")["pipes"]["format"]
        assert pipe["delivered"]["stored"] == len(messages) - 1 + TURNS
        assert pipe["restarts"] >= 3
        assert "planted" in relay.log
        found = numbers(relay.get("/memory/ring")[1].splitlines())
        assert [number for number in range(1000) if number not in set(found["a"])] == [500]
        stop(relay)


def test_stop_while_it_fails(prepare: Prepare, tmp_path: Path) -> None:
    """The stop comes while the broken pipe waits for its next restart."""
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    with StreamReceiver() as peer:
        relay = prepare(CONFIG + FORMAT, {"peer": peer.port}, environ={"PYTHONPATH": str(tmp_path)})
        relay.start()
        send(relay, [b"<13>POISON"])
        relay.until(lambda books: books["pipes"]["format"]["restarts"], "the pipe has failed")
        exchange(relay, peer)
        relay.signal(signal.SIGHUP)
        stop(relay)
