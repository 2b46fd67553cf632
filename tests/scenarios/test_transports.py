"""Every way in and every way out, in one relay."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.receivers import DatagramReceiver, StreamReceiver
from tests.scenarios.harness.senders import connected, send_datagrams

CONFIG = """
[listeners]
udp = { type = "udp", listen = ["127.0.0.1:@net@", "[::1]:@net@"] }
tcp = { type = "tcp", listen = ["127.0.0.1:@net@", "[::1]:@net@"] }
datagram = { type = "unix", path = "log.sock" }
stream = { type = "unix", kind = "stream", path = "stream.sock" }

[destinations]
tcp = { type = "tcp", address = "localhost:@tcp@" }
udp = { type = "udp", address = "127.0.0.1:@udp@" }
datagram = { type = "unix", path = "out.sock" }
stream = { type = "unix", kind = "stream", path = "out.stream.sock" }
file = { type = "file", path = "logs/{listener}.log" }
ring = { type = "memory" }
stdout = { type = "stdout" }

[pipes]
tcp = { from = "*", to = "tcp" }
udp = { from = "*", to = "udp" }
datagram = { from = "*", to = "datagram" }
stream = { from = "*", to = "stream" }
file = { from = "*", to = "file" }
ring = { from = "*", to = "ring" }
stdout = { from = "*", to = "stdout" }
"""
COUNT = 100
SENDERS = ("udp4", "udp6", "tcp4", "tcp6", "datagram", "stream")


def test_all_to_all(prepare: Prepare) -> None:
    """A hundred messages come over each transport and family, and leave over every transport.

    Each destination gets each message once, those of one sender in order.
    """
    with ExitStack() as stack:
        tcp = stack.enter_context(StreamReceiver("octet"))
        udp = stack.enter_context(DatagramReceiver())
        relay = prepare(CONFIG, {"tcp": tcp.port, "udp": udp.port})
        paths = [relay.directory / name for name in ("out.sock", "out.stream.sock")]
        datagram = stack.enter_context(DatagramReceiver(path=paths[0]))
        streaming = stack.enter_context(StreamReceiver("lf", path=paths[1]))
        relay.start()
        with relay.watched():
            _send(relay.port("net"), str(relay.directory))
            relay.until(
                lambda books: all(
                    sum(pipe["delivered"].values()) == COUNT * len(SENDERS)
                    for pipe in books["pipes"].values()
                ),
                "all is delivered everywhere",
            )
        ring = relay.get("/memory/ring")[1].splitlines()
        for receiver in (udp, datagram):
            receiver.wait_messages(COUNT * len(SENDERS))
        assert relay.stop() == 0
        tcp.wait_ended()
        streaming.wait_ended()

        files = [path.read_bytes() for path in sorted((relay.directory / "logs").iterdir())]
        got: dict[str, Sequence[bytes]] = {
            "tcp": tcp.messages,
            "udp": udp.messages,
            "datagram": datagram.messages,
            "stream": streaming.messages,
            "file": b"".join(files).splitlines(),
            "ring": ring,
            "stdout": relay.log.encode().splitlines(),
        }
        for name, messages in got.items():
            assert numbers(messages) == {sender: list(range(COUNT)) for sender in SENDERS}, name
        assert len(files) == 4


def _send(port: int, directory: str) -> None:
    send_datagrams(port, numbered(COUNT, "udp4"))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for message in numbered(COUNT, "udp6"):
            sock.sendto(message, ("::1", port))
    with connected(port) as sock:
        sock.sendall(stream(numbered(COUNT, "tcp4"), "nul"))
    with socket.create_connection(("::1", port)) as sock:
        sock.sendall(stream(numbered(COUNT, "tcp6"), "lf"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(f"{directory}/log.sock")
        for message in numbered(COUNT, "datagram"):
            sock.send(message)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(f"{directory}/stream.sock")
        sock.sendall(stream(numbered(COUNT, "stream"), "octet"))
