"""Relay's own messages are counted as exactly as anybody's."""

from functools import partial

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, stream, told
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected

CONFIG = """
[relay]
name = "edge01"
drain_max = "1s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
own = { type = "tcp", confirm = "sent", address = "127.0.0.1:@own@", framing = "lf" }
ring = { type = "memory" }
away = { type = "tcp", confirm = "sent", address = "127.0.0.1:@away@" }

[pipes.own]
spool = "never"
from = "internal"
to = "own"

[pipes.away]
spool = "never"
from = ["net", "internal"]
to = "away"
messages = 10

[pipes.ring]
spool = "never"
from = "*"
to = "ring"
match = { program = "relay", not = { contains = "read again" } }
"""


def test_own_messages(prepare: Prepare) -> None:
    """The relay starts, loses messages, is reloaded and stops, and says so in messages of its own.

    Each of them is received by the listener `internal`, and is at the peer, once; the log on
    standard error has the same texts. A pipe that is full of them drops and counts them, but a
    loss of notices is not told: that would never end.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"own": peer.port})
        relay.start()
        with connected(relay.port("net")) as sender:
            for sent in (100, 200):  # the first batch finds room, as a whole
                sender.sendall(stream(numbered(100), "lf"))
                relay.until(partial(_received, sent), "it came")
        peer.wait_for(b"to destination away: full")
        for _ in range(30):
            relay.reload()
        books = relay.until(
            lambda books: (
                books["listeners"]["internal"]["received"] >= 30
                and books["listeners"]["net"]["connections"]["open"] == 0
            ),
            "it has said so",
        )
        own = books["listeners"]["internal"]["received"]
        peer.wait(lambda: len(peer.connections[0].data.splitlines()) >= own, "all are sent")
        assert len(peer.messages) == own == books["pipes"]["own"]["received"]
        away = books["pipes"]["away"]
        assert away["received"] == 200 + own
        assert total(away["dropped"]) + total(away["held"]) == away["received"]
        ring = books["pipes"]["ring"]
        assert ring["filtered"] == 200 + 30
        assert ring["delivered"]["stored"] == own - 30

        assert relay.stop() == 0
        peer.wait_ended()
        messages = peer.messages
        texts = [message.partition(b" - - ")[2].decode() for message in messages]
        assert all(b" edge01 relay %d " % relay.pid in message for message in messages)
        logged = relay.log.splitlines()
        for text in texts:
            assert any(line.endswith(text) for line in logged), text
        assert texts[-1] == "exiting"
        # Its own notices fill the pipe as well; of those the dropped are counted, not told.
        assert told(messages)["away", "full"] + told(messages)["away", "shutdown"] <= (
            200 + len(messages)
        )
        assert told(messages)["away", "full"] >= 100


def _received(sent: int, books: Books) -> bool:
    return bool(books["listeners"]["net"]["received"] == sent)
