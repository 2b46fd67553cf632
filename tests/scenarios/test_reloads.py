"""SIGHUP reads the configuration again and changes only what differs."""

import signal

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import sample, total
from tests.scenarios.harness.messages import in_order, numbered, numbers, stream
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import Load, connected
from tests.scenarios.harness.waiting import until

RELOADS = 200
BURST = 20

STEADY = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
steady = { type = "tcp", confirm = "sent", address = "127.0.0.1:@steady@", framing = "lf" }
one = { type = "tcp", confirm = "sent", address = "127.0.0.1:@one@", framing = "lf" }
other = { type = "tcp", confirm = "sent", address = "127.0.0.1:@other@", framing = "lf" }

[pipes.steady]
spool = "never"
from = "net"
to = "steady"
"""
ONE = """
[pipes.changing]
spool = "never"
from = "net"
to = "one"
"""
OTHER = """
[pipes.changing]
spool = "never"
from = "net"
to = "other"
overflow = "drop-oldest"
"""
ADMIN = """
[admin]
listen = "127.0.0.1:@admin@"
"""


def test_two_hundred_reloads(prepare: Prepare) -> None:
    """The configuration is changed 200 times under load, in the destination of one pipe.

    The other pipe loses nothing and keeps its only connection, and so do the senders. The changed
    one loses nothing either: what it held goes to the next destination. No counter goes backwards.
    """
    with StreamReceiver() as steady, StreamReceiver() as one, StreamReceiver() as other:
        ports = {"steady": steady.port, "one": one.port, "other": other.port}
        relay = prepare(STEADY + ONE, ports)
        relay.start()
        senders = [connected(relay.port("net")) for _ in range(4)]

        def send(turn: int) -> None:
            for place, sender in enumerate(senders):
                burst = numbered(BURST, f"s{place}", turn * BURST)
                sender.sendall(stream(burst, "lf"))

        with relay.watched(), Load(send) as load:
            for turn in range(RELOADS):
                relay.write(ADMIN + STEADY + (ONE if turn % 2 else OTHER))
                relay.reload()
        sent = load.sent * BURST * len(senders)
        relay.until(
            lambda books: (
                books["listeners"]["net"]["received"] == sent and not books["totals"]["held"]
            ),
            "all is delivered",
        )
        books = relay.ledger()
        assert books["listeners"]["net"]["connections"]["open"] == len(senders)
        for sender in senders:
            sender.close()
        for pipe in books["pipes"].values():
            assert pipe["received"] == pipe["delivered"]["sent"] == sent
        assert sample(relay.metrics(), "relay_reloads_total", result="success") == RELOADS
        assert relay.stop() == 0
        for receiver in (steady, one, other):
            receiver.wait_ended()

        assert len(steady.connections) == 1
        found = numbers(steady.messages)
        assert found == {
            f"s{place}": list(range(load.sent * BURST)) for place in range(len(senders))
        }
        each = [numbers(receiver.messages) for receiver in (one, other)]
        for sender_name, numbers_sent in found.items():
            parts = [part.get(sender_name, []) for part in each]
            assert all(in_order(part) for part in parts)
            assert sorted(parts[0] + parts[1]) == numbers_sent


def test_invalid_configuration(prepare: Prepare) -> None:
    """An operator makes a mistake in the file and sends SIGHUP.

    The relay says what is wrong and where, in the log and in the stream, counts it, and goes on as
    before. The corrected file is taken.
    """
    internal = '[listeners.internal]\ntype = "internal"\n'
    pipe = STEADY.replace('from = "net"', 'from = "*"') + internal
    with StreamReceiver() as steady:
        ports = {"steady": steady.port, "one": 9, "other": 9}
        relay = prepare(pipe, ports)
        relay.start()
        relay.write(ADMIN + pipe.replace('to = "steady"', 'to = "steddy"'))
        relay.reload()
        steady.wait_for(b"steddy")
        steady.wait_for(b"is invalid: the configuration before it stays")
        until(lambda: "pipes.steady.to" in relay.log, "the mistake is in the log")
        assert sample(relay.metrics(), "relay_reloads_total", result="failure") == 1
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(1), "lf"))
        steady.wait_for(b"seq=0;")

        relay.write(ADMIN + pipe)
        relay.reload()
        steady.wait_for(b"configuration read again")
        assert sample(relay.metrics(), "relay_reloads_total", result="success") == 1
        assert total(relay.ledger()["pipes"]["steady"]["dropped"]) == 0
        relay.signal(signal.SIGINT)
        assert relay.wait() == 0
        assert len(steady.connections) == 1
