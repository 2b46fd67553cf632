"""Relay under a service manager: readiness, reloads, the watchdog, sockets handed over."""

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.receivers import StreamReceiver

# What systemd does between fork and exec: the sockets become descriptors 3, 4 … (sd_listen_fds(3)).
HAND_OVER = """
import fcntl, os, sys
names, numbers, command = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in numbers]
for place, copy in enumerate(copies):
    os.dup2(copy, 3 + place)
    os.close(copy)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(copies)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""

WATCHDOG = """
[listeners.net]
type = "udp"
listen = ["127.0.0.1:@net@"]

[destinations.ring]
type = "memory"

[pipes.all]
spool = "never"
from = "net"
to = "ring"
"""

ACTIVATED = """
[listeners]
udp = { type = "udp", listen = ["fd:udp"] }
tcp = { type = "tcp", listen = ["fd:tcp"] }
datagram = { type = "unix", path = "fd:datagram" }
stream = { type = "unix", kind = "stream", path = "fd:stream" }

[destinations.peer]
type = "tcp"
confirm = "sent"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
spool = "never"
from = "*"
to = "peer"
"""
ROUNDS = 3
COUNT = 50


def test_notifications(prepare: Prepare) -> None:
    """The manager hears when the relay is ready, reloads and stops, and that it is alive.

    The time of a reload is that of the monotonic clock (sd_notify(3), Type=notify-reload), and the
    watchdog is fed at twice the rate that was asked for, though nothing happens.
    """
    relay = prepare(WATCHDOG, environ={"WATCHDOG_USEC": "400000"})
    relay.start()
    began = time.monotonic()
    for _ in range(5):
        relay.hear("WATCHDOG=1")
    assert time.monotonic() - began < 5 * 0.4
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    relay.signal(signal.SIGHUP)
    [stamp] = [line for line in relay.hear("RELOADING=1") if line.startswith("MONOTONIC_USEC=")]
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(stamp.partition("=")[2]) <= after
    status = [line for line in relay.hear("READY=1") if line.startswith("STATUS=")]
    assert status == ["STATUS=running: 0 received, 0 held, 0 dropped"]
    relay.signal(signal.SIGTERM)
    relay.hear("STOPPING=1")
    assert relay.wait() == 0


def test_socket_activation(prepare: Prepare, tmp_path: Path) -> None:
    """Sockets of all four kinds are held by systemd; Relay is started, stopped and started again.

    What was sent while it was away waits in the sockets. Nothing is lost in between, and the unix
    sockets stay where they are.
    """
    with ExitStack() as stack, StreamReceiver() as peer:
        sockets = {
            "udp": socket.socket(type=socket.SOCK_DGRAM),
            "tcp": socket.socket(),
            "datagram": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
            "stream": socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        }
        for name, sock in sockets.items():
            stack.enter_context(sock)
            is_unix = sock.family == socket.AF_UNIX
            sock.bind(str(tmp_path / name) if is_unix else (HOST, 0))
            if sock.type == socket.SOCK_STREAM:
                sock.listen(128)
        numbers_of = [sock.fileno() for sock in sockets.values()]
        hand_over = [
            sys.executable, "-c", HAND_OVER, ":".join(sockets), ",".join(map(str, numbers_of)),
        ]  # fmt: skip
        relay = prepare(ACTIVATED, {"peer": peer.port}, launcher=hand_over, descriptors=numbers_of)
        for turn in range(ROUNDS):
            _send_to_all(sockets, turn, when="away")
            relay.start()
            _send_to_all(sockets, turn, when="there")
            relay.until(
                lambda books: books["pipes"]["forward"]["delivered"]["sent"] == 2 * _of_one_turn(),
                "all is delivered",
            )
            assert relay.stop() == 0
        assert (tmp_path / "datagram").is_socket()
        peer.wait_ended()
        found = numbers(peer.messages)
        assert len(found) == 2 * len(sockets) * ROUNDS
        assert all(
            sender_numbers == list(range(len(sender_numbers))) for sender_numbers in found.values()
        )
        assert sum(map(len, found.values())) == 2 * _of_one_turn() * ROUNDS


def _counts() -> dict[str, int]:
    # A unix datagram socket queues no more than net.unix.max_dgram_qlen, often 10.
    return {"udp": COUNT, "tcp": COUNT, "datagram": 5, "stream": COUNT}


def _of_one_turn() -> int:
    return sum(_counts().values())


def _send_to_all(sockets: dict[str, socket.socket], turn: int, when: str) -> None:
    for name, sock in sockets.items():
        messages = numbered(_counts()[name], f"{name}_{when}_{turn}")
        with socket.socket(sock.family, sock.type) as sender:
            sender.connect(sock.getsockname())
            if sock.type == socket.SOCK_STREAM:
                sender.sendall(stream(messages, "octet"))
            else:
                for message in messages:
                    sender.send(message)


def test_wrong_descriptor(prepare: Prepare) -> None:
    """The manager hands over something that is no socket: one line says so, exit code 1."""
    read, write = os.pipe()
    hand_over = [sys.executable, "-c", HAND_OVER, "udp", str(read)]
    relay = prepare(WATCHDOG, launcher=hand_over, descriptors=[read])
    relay.start_unready()
    assert relay.wait() == 1
    os.close(read)
    os.close(write)
    assert "inherited descriptor 3 (udp): is no socket" in relay.log
    assert "Traceback" not in relay.log
