"""One bad destination never harms another, and its loss is told to the message."""

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, sample, total
from tests.scenarios.harness.messages import numbered, numbers, stream, told
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import send_all

MESSAGES = 200_000

CONFIG = """
[relay]
drain_max = "2s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
healthy = { type = "tcp", confirm = "sent", address = "127.0.0.1:@healthy@", framing = "lf" }
deaf = { type = "tcp", confirm = "sent", address = "127.0.0.1:@deaf@", framing = "lf" }
away = { type = "tcp", confirm = "sent", address = "127.0.0.1:@away@" }

[pipes.to-healthy]
spool = "never"
from = "*"
to = "healthy"

[pipes.to-deaf]
spool = "never"
from = "net"
to = "deaf"
messages = 20000
memory = "1MiB"

[pipes.to-away]
spool = "never"
from = "net"
to = "away"
messages = 10000
overflow = "drop-oldest"
"""


def test_three_destinations(prepare: Prepare) -> None:
    """200,000 messages go to a healthy peer, to one that never reads, and to one that refuses.

    The healthy one receives all of them, while the others hold what they may and drop the rest.
    For each, delivered, dropped and held add up to what it received. The healthy one hears of the
    losses, at once and at the stop, and the numbers told add up to those dropped.
    """
    sent = numbered(MESSAGES)
    with StreamReceiver() as healthy, StreamReceiver(deaf=True) as deaf:
        relay = prepare(CONFIG, {"healthy": healthy.port, "deaf": deaf.port})
        relay.start()
        relay.until(_two_up, "both peers are reached")
        with relay.watched():
            send_all(relay.port("net"), [stream(sent, "lf")])
            healthy.wait_octets(len(stream(sent, "lf")))
            for notice in (b"to destination deaf: full", b"to destination away: oldest"):
                healthy.wait_for(notice)
        books, metrics = relay.ledger(), relay.metrics()
        pipes = books["pipes"]
        for name in ("to-deaf", "to-away"):
            pipe = pipes[name]
            assert pipe["received"] == MESSAGES
            assert pipe["state"] == ("down" if name == "to-away" else pipe["state"])
            assert total(pipe["held"]) > 0
            assert total(pipe["dropped"]) > 0
        assert pipes["to-away"]["delivered"]["sent"] == 0
        assert total(pipes["to-healthy"]["dropped"]) == 0
        dropped = sum(total(pipe["dropped"]) for pipe in pipes.values())
        untold = sample(metrics, "relay_losses_untold")
        assert sum(told(healthy.messages).values()) + untold == dropped

        assert relay.stop() == 0
        healthy.wait_ended()
        deaf.listen_now()
        deaf.wait_ended()
        received = healthy.messages
        assert [message for message in received if b"from=a" in message] == sent
        news = told(received)
        assert news["deaf", "full"] == pipes["to-deaf"]["dropped"]["full"]
        assert news["away", "oldest"] == pipes["to-away"]["dropped"]["oldest"]
        assert news["away", "shutdown"] == total(pipes["to-away"]["held"])
        # What our kernel had taken for the deaf one is what it reads once the relay is gone.
        delivered = numbers(deaf.messages)["a"]
        assert delivered == list(range(len(delivered)))
        assert len(delivered) + news["deaf", "full"] + news["deaf", "shutdown"] == MESSAGES


def _two_up(books: Books) -> bool:
    return all(books["pipes"][name]["state"] == "up" for name in ("to-healthy", "to-deaf"))
