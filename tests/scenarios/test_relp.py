"""RELP with rsyslog on both sides: omrelp to Relay to imrelp, whoever of them goes away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import in_order, numbered, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.rsyslog import MISSING, RECEIVER, WINDOW, Rsyslog
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until

MESSAGES = 2_000  # omrelp and imrelp pass on about 1,200 a second

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SENDER = """
global(workDirectory="{directory}")
module(load="imtcp")
module(load="omrelp")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omrelp" target="127.0.0.1" port="{target}" windowSize="128" timeout="5"
       template="RSYSLOG_SyslogProtocol23Format"
       action.resumeRetryCount="-1" action.resumeInterval="1")
"""
CONFIG = """
[relay]
drain_max = "4s"

[listeners.net]
type = "relp"
listen = ["127.0.0.1:@net@"]

[destinations.next]
type = "relp"
address = "127.0.0.1:@next@"
window = 128

[pipes.forward]
from = "net"
to = "next"
spool = "never"
overflow = "block"
"""


@contextmanager
def chain(prepare: Prepare, directory: Path) -> Iterator[tuple[Rsyslog, RelayProcess, Rsyslog]]:
    """Rsyslog → Relay → rsyslog, all of them up."""
    with Rsyslog(directory / "receiver", RECEIVER) as receiver:
        relay = prepare(CONFIG, {"next": receiver.port})
        relay.start()
        with Rsyslog(directory / "sender", SENDER, relay.port("net")) as sender:
            yield sender, relay, receiver


def send(sender: Rsyslog, start: int, stop: int) -> None:
    with connected(sender.port) as sock:
        sock.sendall(stream(numbered(stop - start, start=start), "octet"))


def has_come(receiver: Rsyslog, messages: int) -> None:
    until(lambda: len(set(receiver.numbers())) >= messages, f"{messages} messages come")


def test_every_message_once_and_in_order(prepare: Prepare, tmp_path: Path) -> None:
    """Nobody goes away: nothing is repeated, and every book says `confirmed`."""
    with chain(prepare, tmp_path) as (sender, relay, receiver):
        send(sender, 0, MESSAGES)
        has_come(receiver, MESSAGES)
        books = relay.until(
            lambda books: not total(books["pipes"]["forward"]["held"]), "all is confirmed"
        )
        pipe = books["pipes"]["forward"]
        assert pipe["delivered"]["confirmed"] == books["listeners"]["net"]["received"]
        assert pipe["retried"] == 0
        assert relay.stop() == 0
    found = receiver.numbers()
    assert found == list(range(MESSAGES))


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_receiver_that_goes_away_gets_the_rest_again(
    way: str, prepare: Prepare, tmp_path: Path
) -> None:
    """Nothing is missing, and at most a window is repeated. Order: each number first comes once."""
    with chain(prepare, tmp_path) as (sender, relay, receiver):
        send(sender, 0, MESSAGES)
        has_come(receiver, MESSAGES // 4)
        getattr(receiver, way)()
        receiver.start()
        has_come(receiver, MESSAGES)
        relay.until(lambda books: not total(books["pipes"]["forward"]["held"]), "all is confirmed")
        books = relay.ledger()["pipes"]["forward"]
        assert relay.stop() == 0
    found = receiver.numbers()
    assert set(found) == set(range(MESSAGES))
    assert in_order(list(dict.fromkeys(found)))
    assert len(found) - MESSAGES <= WINDOW
    assert books["failures"] >= 1
    assert not total(books["dropped"])


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_relay_that_goes_away_had_told_nobody_what_it_did_not_deliver(
    way: str, prepare: Prepare, tmp_path: Path
) -> None:
    """Without any spool: what Relay held was still rsyslog's, which sends it again."""
    with chain(prepare, tmp_path) as (sender, relay, receiver):
        send(sender, 0, MESSAGES)
        has_come(receiver, MESSAGES // 4)
        getattr(relay, way)()
        relay.start()
        has_come(receiver, MESSAGES)
        assert relay.stop() == 0
    found = receiver.numbers()
    assert set(found) == set(range(MESSAGES))
    assert len(found) - MESSAGES <= 2 * WINDOW


def test_a_sender_that_stops_has_its_answers(prepare: Prepare, tmp_path: Path) -> None:
    """Rsyslog closes its session and waits for what it has sent; Relay answers, and both go on."""
    with chain(prepare, tmp_path) as (sender, relay, receiver):
        send(sender, 0, 1000)
        has_come(receiver, 1000)
        sender.stop()
        relay.until(
            lambda books: books["listeners"]["net"]["connections"]["open"] == 0, "it has gone"
        )
        sender.start()
        send(sender, 1000, 2000)
        has_come(receiver, 2000)
        failed = relay.ledger()["listeners"]["net"]["connections"]["failed"]
        assert not any(failed.values())
        assert relay.stop() == 0
    assert receiver.numbers() == list(range(2000))
