"""More senders than anybody could count one by one: the memory stays, and the busy ones are found.

RELAY_SENDERS says how many; a million are before a release.
"""

import json
import os
import socket
import struct

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbers
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver

SENDERS = int(os.environ.get("RELAY_SENDERS", "150000"))
SETTLED = 100_000  # senders after which every table that is bounded is full
BUSY = 20
EVERY = 5  # messages of others between two of busy ones: each of these has a hundredth
PIECE = 2000
GROWTH_OCTETS_MAX = 8 << 20  # of what one more batch may need, and the C library keeps
SERIES_MAX = 20 + 64  # of one listener: the busiest, and the clocks that are watched

CONFIG = """
[listeners.net]
type = "udp"
listen = ["127.0.0.1:@net@"]
rate_limit = "1000000/s"
allow = ["127.0.0.0/8"]
expect = ["127.1.0.1", "127.200.0.1"]

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
from = "net"
to = "peer"
overflow = "block"
spool = "never"
match = { contains = "from=busy" }
"""
HEAD = b"<134>1 2026-11-23T07:28:45Z h app - - - "
IP_PKTINFO = 8  # ip(7): the source address of one datagram


def send(sock: socket.socket, source: int, message: bytes) -> None:
    """From any address of 127.0.0.0/8, without a socket for each."""
    address = struct.pack("!I", 127 << 24 | source)
    info = struct.pack("=I4s4s", 0, address, b"\0" * 4)
    sock.sendmsg([message], [(socket.IPPROTO_IP, IP_PKTINFO, info)])


def send_all(relay: RelayProcess, start: int, stop: int) -> None:
    """One message of each of these senders, busy ones between them.

    No faster than it reads: all of them are to count.
    """
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, relay.port("net")))
        for sender in range(start, stop):
            send(sock, (1 << 16) + sender, HEAD + b"x")
            if sender % EVERY == 0:
                turn, busy = divmod(sender // EVERY, BUSY)
                send(sock, (200 << 16) + 1 + busy, HEAD + b"from=busy%d seq=%d;" % (busy, turn))
            if sender % PIECE == PIECE - 1 or sender == stop - 1:
                sent = sender + 1 + sender // EVERY + 1
                relay.until(lambda it, sent=sent: arrived(it) == sent, "all are read")  # type: ignore[misc]


def test_a_million_senders_take_bounded_memory_and_hide_no_busy_one(prepare: Prepare) -> None:
    """Each sends one message, forged or not; between them twenty send more than a thousandth.

    When the tables are full the process stays as large as it is. The busy ones are first, with a
    weight that is off by no more than is said; and no scrape has more series than documented.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port})
        relay.start()
        few = len(relay.metrics())
        with relay.watched():
            send_all(relay, 0, SETTLED)
            settled = relay.resident_octets
            send_all(relay, SETTLED, SENDERS)
            grown = relay.resident_octets - settled
            books = relay.until(lambda it: not total(it["pipes"]["forward"]["held"]), "all is out")
        many = len(relay.metrics())
        status, body = relay.get("/senders?top=20")
        assert relay.stop() == 0
        peer.wait_ended()
    listener = books["listeners"]["net"]
    sent = arrived(books)
    print(f"{sent} messages, {settled >> 20} MiB after {SETTLED} senders, {grown >> 10} KiB more")
    assert status == 200
    assert grown < GROWTH_OCTETS_MAX
    assert many - few <= SERIES_MAX
    assert sent == SENDERS + SENDERS // EVERY
    assert listener["refused"]["rate"] == listener["refused"]["not-allowed"] == 0
    came = {name: len(row) for name, row in numbers(peer.messages).items()}
    found = json.loads(body)["net"]
    assert found["known"] == found["known_max"] == 1000
    assert found["error_max"] <= sent / 1000 + 1
    true = {f"127.200.0.{1 + number}": came[f"busy{number}"] for number in range(BUSY)}
    assert {it["sender"] for it in found["senders"]} == true.keys()
    for it in found["senders"]:
        assert it["weight"] - it["error"] <= true[it["sender"]] <= it["weight"]
        assert it["error"] <= found["error_max"]
    heard = {it["sender"]: it["heard"] for it in found["expected"]}
    assert heard == {"127.1.0.1": True, "127.200.0.1": True}


def arrived(books: Books) -> int:
    listener = books["listeners"]["net"]
    return int(listener["received"] + listener["kernel_dropped"])
