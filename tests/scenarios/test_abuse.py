"""Somebody means ill, and whoever sends beside him notices nothing.

One relay, and on each of its stream listeners a sender that offers a steady rate. Each abuse is
tried twice, with a while of quiet before each time. Of every sender at least 70 % must come of what
comes without it, and no message late. The rate offered is one that any machine can keep: how fast
this one is fails no test, and what an abuse takes from others shows as messages that come late.

RELAY_ABUSE_CONNECTIONS and RELAY_ABUSE_HOSTS say how many; 10,000 and a million are before a
release. RELAY_ABUSE_SECONDS says for how long each is tried each time.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import pytest

from tests.scenarios.harness import attacks
from tests.scenarios.harness.attacks import Victim
from tests.scenarios.harness.books import Books
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.steady import Outcome, Steady, steady

CONNECTIONS = int(os.environ.get("RELAY_ABUSE_CONNECTIONS", "2000"))
HOSTS = int(os.environ.get("RELAY_ABUSE_HOSTS", "50000"))
SECONDS = float(os.environ.get("RELAY_ABUSE_SECONDS", "0.8"))
pytestmark = pytest.mark.xdist_group("abuse")  # one relay suffers it all

QUIET_SECONDS = 0.2
TURNS = 2

RATE = 1000  # messages a second, of each sender
SHARE_MIN = 0.7
LATENCY_SECONDS_MAX = 2.0

# docs/operations.md#sizing-memory
MEMORY_MAX = 32 << 20
BUFFERS_MAX = 4 * (4 << 20)
PROCESS_OCTETS = 70 << 20
RING_OCTETS = 1 << 20
CONNECTION_OCTETS = 4 << 10

SERIES_MAX = 20 + 64  # of one listener: the busiest senders, and the clocks that are watched
LINES_MAX = 24  # of the log, for one abuse, however often it is tried

CONFIG = """
[relay]
memory_max = "32MiB"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]
buffer_max = "4MiB"
connections_max = @connections@
first_byte_max = "1s"
unfinished_max = "1s"

[listeners.relp]
type = "relp"
listen = ["127.0.0.1:@relp@"]
buffer_max = "4MiB"
first_byte_max = "1s"
unfinished_max = "1s"

[listeners.programs]
type = "unix"
kind = "stream"
path = "@directory@/log.sock"
buffer_max = "4MiB"
first_byte_max = "1s"
unfinished_max = "1s"

[listeners.limited]
type = "tcp"
listen = ["127.0.0.1:@limited@"]
buffer_max = "4MiB"
accept_rate = "10/s"
accept_burst = 10

[listeners.datagrams]
type = "udp"
listen = ["127.0.0.1:@datagrams@"]

[destinations]
peer = { type = "tcp", address = "127.0.0.1:@peer@", framing = "lf" }
by-host = { type = "file", path = "@directory@/logs/{host}/{program}.log" }
recent = { type = "memory", size = "1MiB" }

[pipes.forward]
from = ["net", "relp", "programs"]
to = "peer"
match = { contains = "from=steady_" }
overflow = "block"
spool = "never"

[pipes.store]
from = "net"
to = "by-host"
match = { contains = "names-a-file" }
messages = 5000

[pipes.rest]
from = "*"
to = "recent"
match = { not = { contains = "from=steady_" } }
"""


class Peak:
    """The largest resident set of a process while inside."""

    def __init__(self, relay: RelayProcess) -> None:
        self.octets = 0
        self._relay = relay
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="peak")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.octets = max(self.octets, self._relay.resident_octets)


@dataclass(slots=True, eq=False)
class Ward:
    """A relay, those who send to it as they should, and where it can be hurt."""

    relay: RelayProcess
    sender: Steady
    victim: Victim


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    if not attacks.descriptors_for(CONNECTIONS + 500):
        pytest.skip(f"{CONNECTIONS} connections need more descriptors")
    directory = tmp_path_factory.mktemp("abuse")
    with steady(RATE) as sender:
        values = {"peer": sender.port, "connections": CONNECTIONS}
        relay = RelayProcess(directory, CONFIG, values)
        try:
            relay.start()
            relay.until(lambda it: it["pipes"]["forward"]["state"] == "up", "the peer is reached")
            sender.begin({
                "net": f"tcp:{relay.port('net')}",
                "relp": f"relp:{relay.port('relp')}",
                "programs": f"unix:{directory / 'log.sock'}",
            })  # fmt: skip
            victim = Victim(
                tcp=relay.port("net"), relp=relay.port("relp"), limited=relay.port("limited"),
                udp=relay.port("datagrams"), admin=relay.port("admin"),
                path=directory / "log.sock",
            )  # fmt: skip
            yield Ward(relay, sender, victim)
        finally:
            relay.close()


# -- what must be counted

Counted = Callable[[Books, Books], object]  # the books before it and after; true when all is there


def failed(reason: str, *listeners: str) -> Counted:
    """Connections, on each of these listeners."""

    def look(before: Books, after: Books) -> bool:
        return all(_failed(after, it, reason) > _failed(before, it, reason) for it in listeners)

    return look


def both(*each: Counted) -> Counted:
    return lambda before, after: all(it(before, after) for it in each)


def more(name: str, *listeners: str) -> Counted:
    """A number of each of these listeners."""

    def look(before: Books, after: Books) -> bool:
        was, now = before["listeners"], after["listeners"]
        return all(now[it][name] > was[it][name] for it in listeners)

    return look


def refused(reason: str, listener: str) -> Counted:
    def look(before: Books, after: Books) -> bool:
        was, now = (it["listeners"][listener]["connections"]["refused"] for it in (before, after))
        return bool(now.get(reason, 0) > was.get(reason, 0))

    return look


def named_files(messages: int) -> Counted:
    """So many messages to files, written or counted as dropped."""

    def look(before: Books, after: Books) -> bool:
        was, now = (it["pipes"]["store"]["received"] for it in (before, after))
        return bool(now - was >= messages)

    return look


def _failed(books: Books, listener: str, reason: str) -> int:
    return int(books["listeners"][listener]["connections"]["failed"].get(reason, 0))


@dataclass(frozen=True, slots=True)
class Abuse:
    """What somebody does, how many times at once, and what the books must say of it."""

    attack: Callable[[Victim, int], AbstractContextManager[None]]
    counted: Counted
    count: int = CONNECTIONS


STREAMS = "net", "relp", "programs"

ABUSES = {
    "slowloris": Abuse(
        attacks.slowloris, both(failed("first-byte", *STREAMS), failed("unfinished", *STREAMS))
    ),
    "all-places": Abuse(attacks.all_places, refused("connections-per-address-max", "net")),
    "storm": Abuse(attacks.storm, refused("accept-rate", "limited")),
    "flood": Abuse(attacks.flood, more("received", "net")),
    "endless-lines": Abuse(
        attacks.endless_lines,
        both(more("truncated_bytes", "net", "programs"), failed("protocol", "relp")),
    ),
    "count-bombs": Abuse(
        attacks.count_bombs,
        both(more("incomplete", "net", "programs"), more("truncated", "net", "programs")),
    ),
    "other-protocols": Abuse(
        attacks.other_protocols, both(failed("tls", *STREAMS), more("received", "net"))
    ),
    "hostile-relp": Abuse(
        attacks.hostile_relp, both(failed("protocol", "relp"), failed("too-large", "relp"))
    ),
    "unread-answers": Abuse(attacks.unread_answers, failed("unread", "relp")),
    "garbage-datagrams": Abuse(
        attacks.garbage_datagrams, more("invalid_headers", "datagrams")
    ),
    "template-paths": Abuse(attacks.template_paths, named_files(len(attacks.ESCAPES) ** 2)),
    "distinct-hosts": Abuse(attacks.Hosts(), named_files(HOSTS), HOSTS // TURNS),
    "slow-headers": Abuse(attacks.slow_headers, lambda *_: True),
}  # fmt: skip


@pytest.mark.parametrize("name", ABUSES)
def test_an_abuse_costs_others_nothing(name: str, ward: Ward) -> None:
    abuse, relay, sender = ABUSES[name], ward.relay, ward.sender
    before, lines, series = relay.ledger(), relay.log.count("\n"), len(relay.metrics())
    quiet, abused = [], []
    with Peak(relay) as peak:
        for turn in range(TURNS):
            quiet.append(sender.window(QUIET_SECONDS))
            with abuse.attack(ward.victim, abuse.count):
                abused.append(sender.window(SECONDS))
                if turn == TURNS - 1:
                    relay.until(lambda it: abuse.counted(before, it), "it is counted")
    shares, latest = {}, 0.0
    for who in STREAMS:
        usual = min(RATE, max(it[who].rate for it in quiet))
        # The better of both: other work on this machine hits one, an abuse that harms hits both.
        shares[who] = max(it[who].rate for it in abused) / usual
        latest = max(latest, *(it[who].latency_max for it in abused))
    told = relay.log.count("\n") - lines
    print(f"{name}: {shares}, at most {latest * 1000:.0f} ms late, {peak.octets >> 20} MiB, "
          f"{told} lines of log, {len(relay.metrics()) - series} series more")  # fmt: skip
    assert min(shares.values()) >= SHARE_MIN
    assert latest < LATENCY_SECONDS_MAX
    assert peak.octets < (
        PROCESS_OCTETS + MEMORY_MAX + RING_OCTETS + BUFFERS_MAX + CONNECTIONS * CONNECTION_OCTETS
    )
    assert told <= LINES_MAX
    assert len(relay.metrics()) <= series + SERIES_MAX


def test_nothing_is_lost_nor_anywhere_it_should_not_be(ward: Ward) -> None:
    """After all that: what was sent as it should be has come, in order and once."""
    relay = ward.relay
    for who, outcome in ward.sender.end().items():
        assert outcome == Outcome(outcome.sent, missing=0, again=0, overtaken=0), who
        assert outcome.sent
    relay.until(_closed, "all other connections are closed")
    books = relay.until(lambda it: _datagrams(it) == ward.victim.datagrams, "all are counted")
    for pipe in books["pipes"].values():
        assert not pipe["restarts"]
        assert not pipe["dropped"]["internal-error"]
    for name, listener in books["listeners"].items():
        assert not listener["restarts"]
        assert not _failed(books, name, "internal-error")
    assert "Traceback" not in relay.log
    assert relay.stop() == 0
    ours = {"relay.toml", "relay.log", "notify", "log.sock", "logs", "state"}
    assert {path.name for path in relay.directory.iterdir()} <= ours
    for path in (relay.directory / "logs").rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}", path.name), path


def _closed(books: Books) -> bool:
    still_open = sum(int(it["connections"]["open"]) for it in books["listeners"].values())
    return still_open == len(STREAMS)  # the senders' own


def _datagrams(books: Books) -> int:
    listener = books["listeners"]["datagrams"]
    return int(listener["received"] + listener["kernel_dropped"])
