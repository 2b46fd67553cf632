"""More clients than descriptors."""

import shutil
import time

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import all_connected
from tests.scenarios.harness.waiting import until

DESCRIPTORS = 64
CLIENTS = 150
LINES = 10
LAUNCHER = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
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
        relay = prepare(CONFIG, {"peer": peer.port}, launcher=LAUNCHER)
        relay.start()
        with all_connected(relay.port("net"), CLIENTS) as clients:
            for number, client in enumerate(clients):
                client.sendall(stream(numbered(LINES, f"c{number}"), "lf"))
            relay.until(lambda books: _deferred(books) >= 1, "there is no descriptor left")
            before, began = relay.cpu_seconds, time.monotonic()
            relay.until(lambda books: _deferred(books) >= 4, "it has looked for one again")
            assert time.monotonic() - began > 2
            assert relay.cpu_seconds - before < 1.5  # of three seconds, the scrapes included
            assert relay.log.count(EPISODE) == 1
            served = _accepted(relay.ledger())
            assert 0 < served < CLIENTS
        relay.until(
            lambda books: (
                _accepted(books) == CLIENTS
                and books["pipes"]["forward"]["delivered"]["sent"] == CLIENTS * LINES
            ),
            "every line is delivered",
        )
        assert relay.log.count(EPISODE) <= 1 + CLIENTS // served
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
        relay = prepare(CONFIG, {"peer": peer.port}, launcher=LAUNCHER)
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


def _deferred(books: Books) -> int:
    failed: int = books["listeners"]["net"]["connections"]["failed"]["accept"]
    return failed


def _accepted(books: Books) -> int:
    accepted: int = books["listeners"]["net"]["connections"]["accepted"]
    return accepted
