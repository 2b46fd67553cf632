"""TCP to TCP, in every pair of framings."""

from itertools import chain

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import FRAMINGS, Framing, in_order, numbered, numbers, stream
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import send_all

MESSAGES = 200_000

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]
framing = "@framing_in@"

[destinations.peer]
type = "tcp"
confirm = "sent"
address = "127.0.0.1:@peer@"
framing = "@framing_out@"

[pipes.forward]
spool = "never"
from = "net"
to = "peer"
overflow = "block"
"""


@pytest.mark.parametrize("connections", [1, 200])
@pytest.mark.parametrize("framing_out", FRAMINGS)
@pytest.mark.parametrize("framing_in", FRAMINGS)
def test_framing_pair(
    prepare: Prepare, framing_in: Framing, framing_out: Framing, connections: int
) -> None:
    """A peer sends 200,000 numbered messages, another one receives them.

    Each arrives once, byte for byte, those of one connection in order. The books balance at every
    scrape in the meantime. One connection is left to `auto`, of 200 the framing is given.
    """
    sent = {
        f"c{number}": numbered(MESSAGES // connections, f"c{number}")
        for number in range(connections)
    }
    streams = [stream(messages, framing_in) for messages in sent.values()]
    octets = sum(len(stream(messages, framing_out)) for messages in sent.values())
    with StreamReceiver(framing_out) as peer:
        relay = prepare(
            CONFIG,
            {
                "peer": peer.port,
                "framing_in": "auto" if connections == 1 else framing_in,
                "framing_out": framing_out,
            },
        )
        relay.start()
        with relay.watched():
            send_all(relay.port("net"), streams)
            peer.wait_octets(octets)
        pipe = relay.ledger()["pipes"]["forward"]
        assert relay.stop() == 0

        assert peer.octets == octets
        assert len(peer.connections) == 1
        received = peer.messages
        if connections == 1:
            assert received == sent["c0"]
        else:
            assert sorted(received) == sorted(chain.from_iterable(sent.values()))
            assert all(in_order(found) for found in numbers(received).values())
        assert pipe["received"] == pipe["delivered"]["sent"] == MESSAGES
