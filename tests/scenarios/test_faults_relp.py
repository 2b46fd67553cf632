"""Fault matrix: RELP, where the receiver says what it has."""

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.relp import WINDOW, Mood, RelpReceiver
from tests.scenarios.harness.senders import connected

WELL = 256  # messages answered before anything happens: the window has grown to its full size
NEARLY = WINDOW - WINDOW // 4  # a window that has less room than a quarter is not filled up

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.next]
type = "relp"
address = "127.0.0.1:@next@"
window = 128

[pipes.forward]
from = "net"
to = "next"
spool = "always"
"""


def forward(books: Books) -> Books:
    pipe: Books = books["pipes"]["forward"]
    return pipe


def send(relay: RelayProcess, messages: list[bytes]) -> None:
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(messages, "octet"))


def delivered(relay: RelayProcess, count: int) -> Books:
    """The pipe's book, when all is confirmed."""
    books = relay.until(
        lambda it: total(forward(it)["delivered"]) == count and not total(forward(it)["held"]),
        "all is confirmed",
    )
    assert forward(books)["delivered"]["confirmed"] == count
    return forward(books)


def test_row_11_a_session_that_is_cut_with_a_window_outstanding(prepare: Prepare) -> None:
    """128 messages are out and none is answered when the connection breaks.

    The next session begins with `open`, then the same messages in the same order. Nothing else
    comes twice.
    """
    messages = numbered(1000)
    with RelpReceiver("silent", WELL) as receiver:
        relay = prepare(CONFIG, {"next": receiver.port})
        relay.start()
        send(relay, messages)
        receiver.wait_for(WELL + NEARLY)
        # It may have all the messages before its answers are read here.
        relay.until(lambda it: total(forward(it)["delivered"]) == WELL, "its answers are heard")
        receiver.mood = "well"
        receiver.cut()
        pipe = delivered(relay, len(messages))
        came = receiver.opened[1]
        assert NEARLY <= came - WELL <= WINDOW
        assert receiver.messages == messages[:came] + messages[WELL:]
        assert came - WELL <= pipe["retried"] <= WINDOW
        assert len(receiver.opened) == 2
        assert relay.stop() == 0


@pytest.mark.parametrize("mood", ["refusing", "confused", "backwards"])
def test_row_12_a_receiver_that_answers_badly(mood: Mood, prepare: Prepare) -> None:
    """It refuses a message once, answers what nobody asked, or answers in the wrong order.

    Nothing is released without its yes. The first two end the session: what was out comes again.
    """
    messages = numbered(1000)
    with RelpReceiver(mood, WELL) as receiver:
        relay = prepare(CONFIG, {"next": receiver.port})
        relay.start()
        send(relay, messages)
        pipe = delivered(relay, len(messages))
        assert list(dict.fromkeys(receiver.messages)) == messages
        assert len(receiver.messages) - len(messages) <= pipe["retried"] <= WINDOW
        assert pipe["failures"] == len(receiver.opened) - 1 == (0 if mood == "backwards" else 1)
        assert relay.stop() == 0


def test_row_12_a_receiver_that_says_nothing(prepare: Prepare) -> None:
    """Messages are out, and no answer comes: nothing is released and nobody is cut."""
    messages = numbered(WELL + 300)
    with RelpReceiver("silent", WELL) as receiver:
        relay = prepare(CONFIG, {"next": receiver.port})
        relay.start()
        send(relay, messages)
        receiver.wait_for(WELL + NEARLY)
        books = relay.until(
            lambda it: (
                forward(it)["received"] == len(messages) and total(forward(it)["delivered"]) == WELL
            ),
            "all came, and every answer was heard",
        )
        pipe = forward(books)
        assert total(pipe["held"]) == 300
        assert pipe["failures"] == 0
        assert NEARLY <= len(receiver.messages) - WELL <= WINDOW
        receiver.mood = "well"
        receiver.cut()
        delivered(relay, len(messages))
        assert relay.stop() == 0


def test_row_13_a_relay_that_is_killed_with_a_window_outstanding(prepare: Prepare) -> None:
    """Kill -9 while the receiver owes every answer: the next process sends it all again."""
    messages = numbered(1000)
    with RelpReceiver("silent", WELL) as receiver:
        relay = prepare(CONFIG, {"next": receiver.port})
        relay.start()
        send(relay, messages)
        receiver.wait_for(WELL + NEARLY)
        relay.until(
            lambda it: forward(it)["received"] == 1000 and forward(it)["at_risk"] == 0,
            "all is durable",
        )
        relay.kill()
        receiver.mood = "well"
        relay.start()
        pipe = delivered(relay, len(messages) - WELL)
        came = receiver.opened[1]
        assert NEARLY <= came - WELL <= WINDOW
        assert receiver.messages == messages[:came] + messages[WELL:]
        assert pipe["recovered"] == len(messages) - WELL
        assert total(pipe["dropped"]) == 0
        assert relay.stop() == 0
