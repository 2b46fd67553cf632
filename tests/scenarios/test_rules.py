"""Rules about messages and senders, under load and with everything that comes between."""

import random
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import Framing, in_order, numbered, numbers, stream, told
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import send_all
from tests.scenarios.harness.waiting import SECONDS_MAX

QUIET = 50
RATE, BURST = 20, 40  # messages of one sender
SECONDS = 5
SECRET = b"4111-1111-1111-1111"

COMMON = """
[listeners.internal]
type = "internal"

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[listeners.net]
type = "udp"
listen = ["127.0.0.1:@net@"]
"""
LIMIT = f"""
rate_limit = "{RATE}/s"
burst = {BURST}
"""
FORWARD = """
[pipes.forward]
from = "*"
to = "peer"
"""
NOISY = {
    "listener": COMMON + LIMIT + FORWARD,
    "pipe": COMMON + FORWARD + """
match = { not = { sender = "127.0.0.9" } }

[pipes.noisy]
from = "net"
to = "peer"
match = { sender = "127.0.0.9" }
""" + LIMIT,
}  # fmt: skip
TCP_RATE = 500
READ = 256  # messages that one read may bring
NOISY_CONNECTION = COMMON.replace("udp", "tcp") + LIMIT.replace("20/s", "500/s") + FORWARD

MASKED = r"""
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
from = "net"
to = "peer"
spool = "always"
ttl = "3s"
mask = { regex = '\d{4}-\d{4}-\d{4}-\d{4}', with = "[card]" }
"""

SECRETS = [SECRET, "Müller-4111".encode("latin-1"), "Müller-4111".encode("utf-16-le")]
UNTAKEN = r"""
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]
message_max = "1MiB"

[destinations.agent]
type = "unix"
path = "@directory@/agent.sock"

[destinations.refused]
type = "file"
path = "@directory@/refused.log"

[pipes.forward]
from = "net"
to = "agent"
dead_letter = "refused"
spool = "always"
mask = [
    { regex = '\d{4}-\d{4}-\d{4}-\d{4}', with = "[card]" },
    { regex = 'M(?:\xfc|ü)ller-\d+' },
    { regex = 'M\x00\xfc\x00l\x00l\x00e\x00r\x00-\x00(?:\d\x00)+' },
]
"""

EVERYTHING = r"""
[relay]
memory_max = "8MiB"

[listeners.net]
type = "udp"
listen = ["127.0.0.1:@net@"]
allow = ["127.0.0.0/16"]
rate_limit = "1/s"
burst = 50

[listeners.internal]
type = "internal"

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[destinations.ring]
type = "memory"

[pipes.forward]
from = "*"
to = "peer"
ttl = "1h"
sample = { one_in = 3, match = { program = "chatty" } }
shed = { below = "notice", at = 0.5 }
rate_limit = "10000/s"
rewrite = { data = { "site@32473" = { name = "edge" } } }
mask = { regex = 'seq=\d*7;' }
memory = "1MiB"

[pipes.ring]
from = "net"
to = "ring"
match = { severity = "err" }
"""


@contextmanager
def senders(port: int, sources: Sequence[str]) -> Iterator[list[socket.socket]]:
    """Senders of datagrams, each with this address."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in sources]
        for sock, source in zip(socks, sources, strict=True):
            sock.bind((source, 0))
            sock.connect((HOST, port))
        yield socks


@pytest.mark.parametrize("where", ["listener", "pipe"])
def test_a_noisy_sender_beside_quiet_ones_loses_alone_exactly_and_is_told_twice(
    prepare: Prepare, where: str
) -> None:
    """One sends ten times its rate for five seconds, fifty others keep to theirs.

    The others lose nothing. Of the noisy one arrives what its rate and burst allow; the rest is in
    the book, and two notices, at the start and when it has been over for ten seconds, add up to it.
    So it is with a pipe that only it goes through.
    """
    sources = [f"127.0.1.{number}" for number in range(1, QUIET + 1)]
    with StreamReceiver() as peer:
        relay = prepare(NOISY[where], {"peer": peer.port})
        relay.start()
        with relay.watched(), senders(relay.port("net"), ["127.0.0.9", *sources]) as socks:
            noisy, *quiet = socks
            began = time.monotonic()
            noisy_sent = quiet_sent = 0
            while (now := time.monotonic() - began) < SECONDS:
                for number in range(noisy_sent, int(now * 10 * RATE)):
                    noisy.send(numbered(1, "noisy", number)[0])
                    noisy_sent += 1
                for number in range(quiet_sent, int(now * RATE / 2)):
                    for place, sock in enumerate(quiet):
                        sock.send(numbered(1, f"quiet{place}", number)[0])
                    quiet_sent += 1
                time.sleep(0.01)
            took = time.monotonic() - began
        sent = noisy_sent + QUIET * quiet_sent
        books = relay.until(lambda it: it["listeners"]["net"]["received"] == sent, "all is read")
        assert books["listeners"]["net"]["kernel_dropped"] == 0
        if where == "listener":
            lost, told_of = books["listeners"]["net"]["refused"]["rate"], "net"
            notice = b"from 127.0.0.9 to listener net: rate"
        else:
            lost, told_of = books["pipes"]["noisy"]["dropped"]["rate"], "peer"
            notice = b"to destination peer: rate"
        peer.wait_for(notice + b" (in ")
        assert relay.stop() == 0
        peer.wait_ended()
    found = numbers(peer.messages)
    for place in range(QUIET):
        assert found[f"quiet{place}"] == [*range(quiet_sent)]
    assert len(found["noisy"]) == noisy_sent - lost
    assert in_order(found["noisy"])
    assert BURST + SECONDS * RATE * 0.8 <= len(found["noisy"]) <= BURST + took * RATE + 1
    assert len([text for text in peer.messages if notice in text]) == 2
    assert told(peer.messages) == {(told_of, "rate"): lost}


def test_a_noisy_connection_beside_quiet_ones_waits_alone_and_nobody_loses(
    prepare: Prepare,
) -> None:
    """One connection sends ten times its rate for half a second, fifty others keep to theirs.

    The noisy one is read at its rate, at most one read ahead, and is told once when it begins to
    wait and once when that has been over for ten seconds. Everything arrives, each in order.
    """
    sources = [f"127.0.1.{number}" for number in range(1, QUIET + 1)]
    with StreamReceiver() as peer, ExitStack() as stack:
        relay = prepare(NOISY_CONNECTION, {"peer": peer.port})
        relay.start()
        noisy, *quiet = (
            stack.enter_context(socket.create_connection((HOST, relay.port("net")), 30, (it, 0)))
            for it in ["127.0.0.9", *sources]
        )
        with relay.watched():
            began = time.monotonic()
            noisy.sendall(stream(numbered(5 * TCP_RATE, "noisy"), "octet"))
            for turn in range(10):
                for place, sock in enumerate(quiet):
                    sock.sendall(stream(numbered(1, f"quiet{place}", turn), "octet"))
                time.sleep(0.05)
            relay.until(lambda it: net(it)["connections"]["waiting"] == 1, "it waits")
            early = net(relay.ledger())["received"]
            assert early <= QUIET * 10 + BURST + READ + TCP_RATE * (time.monotonic() - began)
            sent = 5 * TCP_RATE + 10 * QUIET
            books = relay.until(lambda it: net(it)["received"] == sent, "all is read")
            peer.wait_for(b"127.0.0.9 is within its rate_limit again")
        assert total(net(books)["refused"]) == 0
        assert net(books)["connections"]["paced"] > 0
        assert relay.stop() == 0
        peer.wait_ended()
    found = numbers(peer.messages)
    assert found.pop("noisy") == [*range(5 * TCP_RATE)]
    assert all(row == [*range(10)] for row in found.values())
    assert len(found) == QUIET
    for text in (b"127.0.0.9 sends more than its rate_limit", b"is within its rate_limit again"):
        assert sum(text in it for it in peer.messages) == 1
    assert not any(b"listener net: 127.0.1." in it for it in peer.messages)
    assert told(peer.messages) == {}


def test_what_is_masked_is_on_no_disk_and_what_is_too_old_is_not_delivered(
    prepare: Prepare,
) -> None:
    """The collector is away; messages with a secret wait in the spool through a kill -9.

    No file of the relay has the secret, nor has its log. When the collector comes back after the
    messages' time to live, they are dropped as expired, and what is fresh arrives, masked as well.
    """
    relay = prepare(MASKED)
    relay.start()
    old = [message + b" card " + SECRET for message in numbered(500, "old")]
    with socket.create_connection((HOST, relay.port("net"))) as sock:
        sock.sendall(b"".join(message + b"\n" for message in old))
        relay.until(lambda it: forward(it)["received"] == 500, "all is read")
        relay.until(lambda it: forward(it)["at_risk"] == 0, "all is on disk")
    relay.kill()
    assert leaks(relay) == []
    relay.start()
    relay.until(lambda it: forward(it)["recovered"] == 500, "the spool is open")
    time.sleep(3.1)  # the time to live
    with StreamReceiver(port=relay.port("peer")) as peer:
        relay.until(lambda it: forward(it)["dropped"]["expired"] == 500, "the old ones are gone")
        with socket.create_connection((HOST, relay.port("net"))) as sock:
            fresh = [message + b" card " + SECRET for message in numbered(20, "fresh")]
            sock.sendall(b"".join(message + b"\n" for message in fresh))
            peer.wait_for(b"from=fresh seq=19;")
        books = relay.until(lambda it: total(forward(it)["held"]) == 0, "nothing is held")
        assert relay.stop() == 0
        peer.wait_ended()
        assert numbers(peer.messages) == {"fresh": [*range(20)]}
        assert all(message.endswith(b" card [card]") for message in peer.messages)
    assert forward(books)["dropped"]["expired"] == 500
    assert total(forward(books)["dropped"]) == 500
    assert forward(books)["changed"] == {"mask[0]": 20}
    assert "dropped 500 messages to destination peer: expired" in relay.log
    assert leaks(relay) == []


@pytest.mark.parametrize("framing", ["octet", "lf"])
def test_what_is_masked_is_in_no_dead_letter_and_no_file_wherever_it_stood(
    prepare: Prepare, framing: Framing
) -> None:
    """Messages that an agent takes, and others too large for its socket, each with a secret.

    It stands anywhere, header included, in UTF-8, Latin-1 or UTF-16, and reads cut it. The agent,
    the dead letters, the spool, the log and every other file have none of it.
    """
    chance = random.Random(framing)
    relay = prepare(UNTAKEN)
    head = b"<134>1 2026-11-23T07:28:45Z %b app - - - "
    rows = []
    for number in range(60):
        secret = chance.choice(SECRETS[: 2 if framing == "lf" else 3])
        filling = bytes(chance.choices(b'abc \xff\xc3"]\\{', k=chance.choice((5, 300_000))))
        at = chance.randrange(len(filling))
        text = filling[:at] + secret + filling[at:] + secret
        host = SECRET if number % 10 == 0 else b"web01"
        rows.append(head % host + b"from=a seq=%d;" % number + text)
    large = sum(len(row) > 250_000 for row in rows)
    assert 0 < large < len(rows)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
        agent.settimeout(SECONDS_MAX)
        agent.bind(str(relay.directory / "agent.sock"))
        relay.start()
        send_all(relay.port("net"), [stream(rows, framing)])
        received = [agent.recv(1 << 20) for _ in range(len(rows) - large)]
        books = relay.until(
            lambda it: it["pipes"]["forward.dead-letter"]["delivered"]["stored"] == large,
            "the letters are stored",
        )
        assert forward(books)["dropped"]["too-large"] == large
        metrics = relay.get("/metrics")[1]
        assert relay.stop() == 0
    letters = (relay.directory / "refused.log").read_bytes()
    assert sorted(numbers([*received, *letters.splitlines()])["a"]) == [*range(len(rows))]
    for secret in SECRETS:
        assert not any(secret in it for it in (*received, metrics))
        assert leaks(relay, secret) == []


@pytest.mark.parametrize("messages", [20_000])
def test_every_rule_at_once_and_the_books_balance_at_every_look(
    prepare: Prepare, messages: int
) -> None:
    """200 senders, of which some are not allowed, as fast as they can, while the books are read."""
    sources = [f"127.{number % 3 // 2}.2.{number}" for number in range(1, 201)]
    texts = [
        b"<%d>1 2026-11-23T07:28:45Z h %b - - - from=a seq=%d;" % (priority, program, number)
        for number, (priority, program) in enumerate(
            (priority, program)
            for priority in (11, 13, 14, 15)
            for program in (b"chatty", b"app", b"db")
        )
    ]
    with StreamReceiver() as peer:
        relay = prepare(EVERYTHING, {"peer": peer.port})
        relay.start()
        with relay.watched(), senders(relay.port("net"), sources) as socks:
            for number in range(messages):
                socks[number % 200].send(texts[number % len(texts)])
        books = relay.until(lambda it: arrived(it) == messages, "all is read, or dropped")
        relay.until(lambda it: total(forward(it)["held"]) == 0, "nothing is held")
        assert relay.stop() == 0
        peer.wait_ended()
    listener, pipe = books["listeners"]["net"], forward(books)
    assert listener["refused"]["not-allowed"] > 0
    assert listener["refused"]["rate"] > 0
    assert pipe["dropped"]["sampled"] > 0
    assert pipe["changed"]["rewrite[0]"] >= pipe["changed"]["mask[0]"] > 0
    ours = [text for text in peer.messages if b"from=a" in text or b" ***" in text]
    assert all(b'[site@32473 name="edge"]' in text for text in ours)
    assert not any(re.search(rb"seq=\d*7;", text) for text in ours)


def arrived(books: Books) -> int:
    listener = books["listeners"]["net"]
    found: int = listener["received"] + listener["kernel_dropped"]
    return found


def net(books: Books) -> Books:
    found: Books = books["listeners"]["net"]
    return found


def forward(books: Books) -> Books:
    found: Books = books["pipes"]["forward"]
    return found


def leaks(relay: RelayProcess, secret: bytes = SECRET) -> list[Path]:
    """Files of the relay that have the secret in them, its log included."""
    files = [path for path in relay.directory.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if secret in path.read_bytes()]
