"""SIGTERM: what our kernel has acknowledged is read, and what cannot be delivered is told."""

import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import NUMBER, numbered, numbers, split, stream, told
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected, unacknowledged

CLIENTS = 50
FLOOD = 1_000_000  # messages: more than can be read before the deadline
DRAIN_SECONDS = 2.0
SLACK_SECONDS = 1.5  # for the last words, the end of the process, and a busy machine

CONFIG = """
[relay]
drain_max = "@drain@"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
healthy = { type = "tcp", confirm = "sent", address = "127.0.0.1:@healthy@", framing = "lf" }
deaf = { type = "tcp", confirm = "sent", address = "127.0.0.1:@deaf@", framing = "lf" }

[pipes.to-healthy]
spool = "never"
from = "*"
to = "healthy"
overflow = "block"

[pipes.to-deaf]
spool = "never"
from = "net"
to = "deaf"
messages = 1000000
memory = "200MiB"
"""


@dataclass(slots=True, eq=False)
class Client:
    """Sends numbered lines until the relay's kernel takes no more for good."""

    name: str
    sock: socket.socket
    data: bytes
    sent: int = 0  # octets that our kernel took

    def send_what_fits(self) -> None:
        self.sock.setblocking(False)
        try:
            while self.sent < len(self.data):
                self.sent += self.sock.send(self.data[self.sent : self.sent + 65536])
        except BlockingIOError:
            pass

    def send_rest(self) -> None:
        """Until everything is out, or the connection breaks."""
        self.sock.setblocking(True)
        try:
            while self.sent < len(self.data):
                self.sent += self.sock.send(self.data[self.sent : self.sent + 65536])
        except OSError:
            pass

    @property
    def acknowledged(self) -> int:
        """Octets that the relay's kernel has acknowledged; one fewer after an unanswered FIN."""
        return self.sent - unacknowledged(self.sock)

    def close(self) -> None:
        self.sock.close()


def test_acknowledged_is_read(prepare: Prepare) -> None:
    """50 clients are in the backlog of a relay that stands still when the stop is asked for.

    Two more are connected and go on sending as fast as they can until they are cut off. Whatever
    our kernel has acknowledged to any of them arrives, in order. One destination never reads: what
    is left for it is counted as `shutdown`, and the healthy one is told.
    """
    with StreamReceiver() as healthy, StreamReceiver(deaf=True) as deaf:
        relay = prepare(
            CONFIG,
            {"drain": f"{DRAIN_SECONDS:g}s", "healthy": healthy.port, "deaf": deaf.port},
        )
        relay.start()
        relay.until(
            lambda books: all(pipe["state"] == "up" for pipe in books["pipes"].values()),
            "both peers are reached",
        )
        port = relay.port("net")
        flooding = [_client(port, f"flood{number}", FLOOD) for number in range(2)]
        for client in flooding:
            client.send_what_fits()
        relay.until(
            lambda books: books["listeners"]["net"]["connections"]["open"] == len(flooding),
            "both are accepted",
        )
        relay.pause()
        waiting = [_client(port, f"wait{number}", 500) for number in range(CLIENTS)]
        for client in waiting:
            client.send_what_fits()
        threads = [threading.Thread(target=client.send_rest) for client in flooding]
        for thread in threads:
            thread.start()
        relay.signal(signal.SIGTERM)
        relay.resume()
        began = time.monotonic()
        assert relay.wait() == 0
        assert time.monotonic() - began < DRAIN_SECONDS + SLACK_SECONDS
        for client in flooding:
            with suppress(OSError):  # reset already
                client.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        acknowledged = {client.name: client.acknowledged for client in (*flooding, *waiting)}

        healthy.wait_ended()
        deaf.listen_now()
        deaf.wait_ended()
        received = numbers(healthy.messages)
        for client in (*flooding, *waiting):
            whole = len(split(client.data[: acknowledged[client.name]], "lf")[0])
            found = received.get(client.name, [])
            assert found == list(range(len(found))), client.name
            assert len(found) >= whole, client.name
            client.close()
        assert all(len(received[client.name]) == 500 for client in waiting)
        # Cut off in the middle of a line, a client's last message is only a part of one.
        arrived = [message for message in healthy.messages if b"dropped" not in message]
        arrived = [message for message in arrived if b" relay " not in message]
        assert len(arrived) - sum(map(len, received.values())) <= len(flooding)
        news = told(healthy.messages)
        assert news["deaf", "shutdown"] > 0
        assert sum(news.values()) + len(deaf.messages) == len(arrived)
        assert NUMBER.search(arrived[0])


def test_second_signal_hurries(prepare: Prepare) -> None:
    """A stop may take a minute and a destination does not read; a second SIGTERM ends it at once.

    What is left is counted and told all the same.
    """
    with StreamReceiver() as healthy, StreamReceiver(deaf=True) as deaf:
        ports = {"healthy": healthy.port, "deaf": deaf.port}
        relay = prepare(CONFIG, {"drain": "60s", **ports})
        relay.start()
        messages = numbered(100_000)
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(messages, "lf"))
        healthy.wait_octets(len(stream(messages, "lf")))
        relay.signal(signal.SIGTERM)
        relay.hear("STOPPING=1")
        relay.signal(signal.SIGTERM)
        assert relay.wait(10) == 0
        healthy.wait_ended()
        deaf.listen_now()
        deaf.wait_ended()
        news = told(healthy.messages)
        assert news["deaf", "shutdown"] + len(deaf.messages) == len(messages)


def _client(port: int, name: str, messages: int) -> Client:
    return Client(name, connected(port), stream(numbered(messages, name), "lf"))
