"""Fault matrix: one receiver that is deaf, slow, dead or moves harms nobody else."""

import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, numbers, split, stream
from tests.scenarios.harness.names import NameServer
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.receiving import ReceivingProcess
from tests.scenarios.harness.senders import connected, send_all
from tests.scenarios.harness.waiting import SECONDS_MAX, until
from tests.scenarios.test_troubles import cannot_mount

MANY = 60_000  # messages: more than the buffers of two kernels hold

CONFIG = """
[relay]
drain_max = "1s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
healthy = { type = "tcp", address = "127.0.0.1:@healthy@", framing = "lf" }
other = { type = "tcp", address = "@host@:@other@", dead_after = "1s" }

[pipes.to-healthy]
from = "net"
to = "healthy"

[pipes.to-other]
from = "net"
to = "other"
spool = "always"
memory = "1MiB"
overflow = "block"      # waits for the disk alone, which has room
"""


def other(books: Books) -> Books:
    pipe: Books = books["pipes"]["to-other"]
    return pipe


def send(relay: RelayProcess, start: int, stop: int) -> None:
    send_all(relay.port("net"), [stream(numbered(stop - start, start=start), "lf")])


def test_row_07_a_receiver_that_accepts_and_never_reads(prepare: Prepare) -> None:
    """It gets what its kernel takes, and the disk the rest; the connection is left alone.

    The other destination gets everything meanwhile, and so does the deaf one when it reads.
    """
    with StreamReceiver() as healthy, StreamReceiver("octet", deaf=True) as deaf:
        ports = {"healthy": healthy.port, "other": deaf.port, "host": HOST}
        relay = prepare(CONFIG, ports)
        relay.start()
        with relay.watched():
            send(relay, 0, MANY)
            healthy.wait_for(b"seq=%d;" % (MANY - 1))
            books = relay.until(lambda it: other(it)["held"]["spool"] > 0, "the disk has the rest")
            assert total(other(books)["dropped"]) == 0
            books = relay.until(lambda it: other(it)["state"] == "stalled", "it is shown as deaf")
            assert (other(books)["connections"], other(books)["failures"]) == (1, 0)
        deaf.listen_now()
        relay.until(lambda it: not total(other(it)["held"]), "all is delivered")
        deaf.wait_for(b"seq=%d;" % (MANY - 1))
        assert numbers(deaf.messages)["a"] == list(range(MANY))
        assert len(deaf.connections) == 1
        assert relay.stop() == 0


@dataclass(slots=True, eq=False)
class SlowReader:
    """Reads 1 KiB, 20 times a second, until told to hurry."""

    listening: socket.socket = field(default_factory=lambda: _small_window())
    data: bytearray = field(default_factory=bytearray)
    hurry: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        port: int = self.listening.getsockname()[1]
        return port

    def run(self) -> None:
        self.listening.settimeout(SECONDS_MAX)
        with self.listening, self.listening.accept()[0] as connection:
            while part := connection.recv(1 << 20 if self.hurry.is_set() else 1 << 10):
                self.data += part
                self.hurry.wait(0.05)


def _small_window() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
    sock.bind((HOST, 0))
    sock.listen(1)
    return sock


def test_row_08_a_receiver_that_reads_20_kilobytes_a_second(prepare: Prepare) -> None:
    """For three times as long as a dead peer would be given. It is slow, and not dead: never cut.

    Memory stays as it is while the disk takes what comes. The hour of it is in the simulation.
    """
    reader = SlowReader()
    thread = threading.Thread(target=reader.run)
    thread.start()
    with StreamReceiver() as healthy:
        relay = prepare(CONFIG, {"healthy": healthy.port, "other": reader.port, "host": HOST})
        relay.start()
        send(relay, 0, 1000)
        healthy.wait_for(b"seq=999;")
        before = relay.resident_octets
        send(relay, 1000, 3 * MANY)
        healthy.wait_for(b"seq=%d;" % (3 * MANY - 1))
        read, began = len(reader.data), time.monotonic()
        books = relay.until(
            lambda it: other(it)["state"] != "up" or time.monotonic() - began > 3,
            "three seconds have passed",
        )
        assert other(books)["state"] == "up"
        assert len(reader.data) > read
        assert other(books)["held"]["spool"] > MANY
        assert (other(books)["connections"], other(books)["failures"]) == (1, 0)
        assert relay.resident_octets - before < 24 << 20
        reader.hurry.set()
        relay.until(lambda it: not total(other(it)["held"]), "all is delivered")
        assert relay.stop() == 0
    thread.join()
    messages, rest = split(bytes(reader.data), "octet")
    assert numbers(messages)["a"] == list(range(3 * MANY))
    assert not rest


@pytest.mark.skipif(bool(cannot_mount()), reason=cannot_mount())
def test_row_09_a_name_that_fails_and_then_moves(prepare: Prepare, tmp_path: Path) -> None:
    """The receiver's name does not exist; then it does; then the receiver moves elsewhere.

    The other destination notices nothing. Each attempt asks anew, so the new address is used.
    """
    with (
        StreamReceiver() as healthy,
        NameServer(tmp_path) as names,
        ReceivingProcess(tmp_path / "first", "127.0.0.2") as first,
    ):
        ports = {"healthy": healthy.port, "other": first.port, "host": "siem.example"}
        relay = prepare(CONFIG, ports, launcher=names.launcher)
        relay.start()
        send(relay, 0, 100)
        healthy.wait_for(b"seq=99;")
        until(lambda: "siem.example" in names.asked, "the name is asked for")
        books = relay.until(lambda it: other(it)["failures"], "there is no such name")
        assert "siem.example" in other(books)["down_reason"]
        names.addresses["siem.example"] = "127.0.0.2"
        first.wait_for(100)

        second = ReceivingProcess(tmp_path / "second", "127.0.0.3")
        second.port = first.port
        with second:
            names.addresses["siem.example"] = "127.0.0.3"
            first.kill()
            send(relay, 100, 200)
            healthy.wait_for(b"seq=199;")
            until(lambda: 199 in second.numbers(), "the messages come to the new place")
            relay.until(lambda it: not total(other(it)["held"]), "all is delivered")
            assert {*first.numbers(), *second.numbers()} == set(range(200))
            assert relay.stop() == 0


def test_row_10_one_of_two_destinations_is_dead(prepare: Prepare) -> None:
    """The live one gets everything in one go, the dead one's share is on disk, and both add up."""
    with StreamReceiver() as healthy:
        relay = prepare(CONFIG, {"healthy": healthy.port, "host": HOST})
        relay.start()
        with relay.watched(), connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(MANY), "lf"))
            healthy.wait_for(b"seq=%d;" % (MANY - 1))
        books = relay.until(lambda it: other(it)["at_risk"] == 0, "the disk has it")
        assert other(books)["received"] == total(other(books)["held"]) == MANY
        assert books["listeners"]["net"]["offered"] == 2 * MANY
        with StreamReceiver("octet", port=relay.port("other")) as back:
            relay.until(lambda it: not total(other(it)["held"]), "all is delivered")
            back.wait_for(b"seq=%d;" % (MANY - 1))
            assert numbers(back.messages)["a"] == list(range(MANY))
        assert relay.stop() == 0
