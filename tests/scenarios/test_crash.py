"""kill -9: what only memory held is lost, and counted to the message by the next process."""

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import NUMBER, numbered, stream, told
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import send_all

MESSAGES = 20_000

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
live = { type = "tcp", address = "127.0.0.1:@live@", framing = "lf" }
dead = { type = "tcp", address = "127.0.0.1:@dead@" }

[pipes.to-live]
from = "*"
to = "live"
spool = "never"

[pipes.to-dead]
from = "net"
to = "dead"
spool = "never"
"""


def test_what_memory_held_at_a_kill_is_recovered_as_lost_and_told(prepare: Prepare) -> None:
    """A relay holds 20,000 messages for a dead destination, and is killed.

    The next process finds that number on the crash page, books it as recovered and dropped, and
    tells it on the pipe that is up. Nothing is counted twice by the process after that.
    """
    with StreamReceiver() as receiver:
        relay = prepare(CONFIG, {"live": receiver.port})
        relay.start()
        send_all(relay.port("net"), [stream(numbered(MESSAGES), "lf")])
        relay.until(lambda it: it["pipes"]["to-dead"]["received"] == MESSAGES, "all are held")
        relay.until(lambda it: total(it["pipes"]["to-live"]["held"]) == 0, "all are delivered")
        relay.kill()
        relay.start()
        books = relay.until(lambda it: it["pipes"]["to-live"]["received"] > 0, "own messages")
        assert lost(books, "to-dead") == MESSAGES
        assert lost(books, "to-live") == 0
        receiver.wait_for(b"to destination dead: crash")
        assert told(receiver.messages)["dead", "crash"] == MESSAGES
        relay.kill()
        relay.start()
        assert lost(relay.ledger(), "to-dead") == 0
        assert relay.stop() == 0
        relay.start()
        assert lost(relay.ledger(), "to-live") == 0, "a clean stop has left nothing"


def test_a_pipe_that_is_no_longer_configured_is_booked_once(prepare: Prepare) -> None:
    relay = prepare(CONFIG, {"live": 1})
    relay.start()
    send_all(relay.port("net"), [stream(numbered(100), "lf")])
    relay.until(lambda it: it["pipes"]["to-dead"]["received"] == 100, "all are held")
    relay.kill()
    config = CONFIG.replace("pipes.to-dead", "pipes.renamed")
    relay.write('[admin]\nlisten = "127.0.0.1:@admin@"\n' + config)
    relay.start()
    books = relay.ledger()
    assert lost(books, "to-dead") == 100
    assert lost(books, "renamed") == 0
    relay.kill()
    relay.start()
    assert "to-dead" not in relay.ledger()["pipes"]


@pytest.mark.parametrize("kills", [5])
def test_killed_under_load_the_books_are_wrong_by_the_batch_in_hand_at_most(
    prepare: Prepare, kills: int
) -> None:
    """Killed at any moment: received and delivered, as the page says, cover what really was."""
    with StreamReceiver() as receiver:
        relay = prepare(CONFIG, {"live": receiver.port})
        relay.start()
        for turn in range(kills):
            before = len(arrived(receiver))
            with relay.watched():
                send_all(relay.port("net"), [stream(numbered(3000, f"s{turn}"), "lf")])
            relay.kill()
            receiver.wait_ended()
            missing = 3000 - (len(arrived(receiver)) - before)
            relay.start()
            books = relay.ledger()
            live = books["pipes"]["to-live"]
            assert live["recovered"] == live["dropped"]["crash"]
            assert 0 <= lost(books, "to-live") - missing <= 1100, "one batch and own messages"


def lost(books: Books, pipe: str) -> int:
    found = books["pipes"][pipe]
    assert found["recovered"] >= found["dropped"]["crash"]
    return int(found["dropped"]["crash"])


def arrived(receiver: StreamReceiver) -> list[bytes]:
    return [message for message in receiver.messages if NUMBER.search(message)]
