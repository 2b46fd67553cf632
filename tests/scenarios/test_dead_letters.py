"""A destination that can never take some of what it is sent, and another one that takes it."""

import re
import socket

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import sample
from tests.scenarios.harness.messages import numbered, stream
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import SECONDS_MAX

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]
framing = "lf"
message_max = "1MiB"

[listeners.internal]
type = "internal"

[destinations.agent]
type = "unix"
path = "@directory@/agent.sock"

[destinations.refused]
type = "file"
path = "@directory@/refused.log"

[destinations.own]
type = "file"
path = "@directory@/own.log"

[pipes.local]
from = "net"
to = "agent"
dead_letter = "refused"

[pipes.own]
from = "internal"
to = "own"
"""

LARGE = b"<13>1 - h app - - - large " + b"x" * 400_000  # a unix datagram takes 208 KiB by default


def test_too_large_for_a_unix_socket(prepare: Prepare) -> None:
    """Between messages that an agent takes comes one too large for its socket.

    The agent gets the others in order. The large one is in the file of the dead letters, whole,
    with the reason; it is counted, and no notice tells of a loss.
    """
    relay = prepare(CONFIG)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
        agent.settimeout(SECONDS_MAX)
        agent.bind(str(relay.directory / "agent.sock"))
        relay.start()
        messages = numbered(6)
        with connected(relay.port("net")) as sender:
            sender.sendall(stream([*messages[:3], LARGE, *messages[3:]], "lf"))
            received = [agent.recv(1 << 20) for _ in messages]
        assert received == messages
        books = relay.until(
            lambda books: books["pipes"]["local.dead-letter"]["delivered"]["stored"] == 1,
            "the letter is stored",
        )
        assert books["pipes"]["local"]["dropped"]["too-large"] == 1
        assert books["pipes"]["local"]["dead_letters"] == 1
        metrics = relay.metrics()
        assert sample(metrics, "relay_pipe_dead_letters_total", pipe="local") == 1
        pipe = books["pipes"]["local.dead-letter"]
        assert pipe["received"] == books["totals"]["dead_letters"] == 1
        assert relay.stop() == 0
    letter = (relay.directory / "refused.log").read_bytes()
    assert re.fullmatch(
        rb"<44>1 \S+ \S+ relay - dead-letter - pipe=local destination=agent reason=too-large "
        rb'why="a datagram of \d+ octets" received=\S+ sender=127\.0\.0\.1 message='
        + re.escape(LARGE) + b"\n",
        letter,
    )  # fmt: skip
    assert b"dropped" not in (relay.directory / "own.log").read_bytes()
