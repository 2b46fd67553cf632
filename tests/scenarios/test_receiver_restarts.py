"""A receiver that is restarted again and again under load."""

import random
import socket
import threading
from dataclasses import dataclass, field

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import (
    FRAMINGS,
    Framing,
    in_order,
    numbered,
    numbers,
    split,
    stream,
)
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.senders import send_all
from tests.scenarios.harness.waiting import SECONDS_MAX

RESTARTS = 20
MESSAGES = 200_000

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
lf = { type = "tcp", confirm = "sent", address = "127.0.0.1:@lf@", framing = "lf" }
nul = { type = "tcp", confirm = "sent", address = "127.0.0.1:@nul@", framing = "nul" }
octet = { type = "tcp", confirm = "sent", address = "127.0.0.1:@octet@", framing = "octet" }

[pipes]
lf = { from = "net", to = "lf" }
nul = { from = "net", to = "nul" }
octet = { from = "net", to = "octet" }
"""


@dataclass(slots=True, eq=False)
class Restarting:
    """Reads a part of the stream, dies with the rest unread, and comes back at once."""

    framing: Framing
    seed: int
    port: int = field(default_factory=free_port)
    connections: list[bytes] = field(default_factory=list)

    def run(self) -> None:
        cuts = random.Random(self.seed)
        for _ in range(RESTARTS):
            self._serve(cuts.randrange(10_000, 100_000))
        self._serve(None)

    def _serve(self, octets_max: int | None) -> None:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Segments as on an Ethernet keep the kernels' buffers, and the loss in them, small.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            listening.bind((HOST, self.port))
            listening.listen(1)
            listening.settimeout(SECONDS_MAX)
            connection, _ = listening.accept()
        with connection:
            connection.settimeout(SECONDS_MAX)
            if octets_max is None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.connections.append(_read(connection, octets_max))


def _read(connection: socket.socket, octets_max: int | None) -> bytes:
    """So many octets, or all until the end."""
    parts = []
    left = octets_max or 1 << 40
    while left and (part := connection.recv(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def test_twenty_restarts(prepare: Prepare) -> None:
    """Three receivers, one for each framing, die 20 times each in the middle of a stream.

    Every connection begins with a whole frame. Nothing is reordered and nothing arrives whole
    twice; what is missing was in the kernels' buffers when a receiver died, and nowhere else. What
    could not be sent whole was kept, tried again, and counted.
    """
    receivers = [Restarting(framing, seed) for seed, framing in enumerate(FRAMINGS)]
    threads = [threading.Thread(target=receiver.run) for receiver in receivers]
    relay = prepare(CONFIG, {receiver.framing: receiver.port for receiver in receivers})
    for thread in threads:
        thread.start()
    relay.start()
    with relay.watched():
        send_all(relay.port("net"), [stream(numbered(MESSAGES), "octet")])
        books = relay.until(
            lambda books: all(
                pipe["received"] == MESSAGES
                and pipe["connections"] == RESTARTS + 1
                and not total(pipe["held"])
                for pipe in books["pipes"].values()
            ),
            "all is delivered to the last of the receivers",
        )
    assert relay.stop() == 0
    for thread in threads:
        thread.join()

    sent = set(numbered(MESSAGES))
    for receiver in receivers:
        pipe = books["pipes"][receiver.framing]
        assert pipe["delivered"]["sent"] == MESSAGES
        assert pipe["failures"] == RESTARTS
        assert pipe["retried"] >= RESTARTS  # there was something in hand at each
        last = -1
        for number, data in enumerate(receiver.connections):
            messages, rest = split(data, receiver.framing)
            assert sent.issuperset(messages)
            found = numbers(messages)["a"]
            assert found[0] > last
            assert in_order(found)
            if number:
                assert found == list(range(found[0], found[-1] + 1))
            last = found[-1]
            assert number < RESTARTS or not rest
        assert last == MESSAGES - 1
