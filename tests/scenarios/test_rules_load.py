"""Every rule under load: 200 senders, 50,000 messages a second, and a scrape five times a second.

The books balance at every scrape, and add up at the end with what was sent and what has arrived.
How fast this machine is fails no test. RELAY_RULES_SECONDS says for how long; a minute for each is
before a release, with `-s`, which shows the rates.
"""

import os
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, Samples, sample, summed, total
from tests.scenarios.harness.fleet import CARD, SENDERS, Sent, fleet
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.waiting import SECONDS_MAX

SECONDS = float(os.environ.get("RELAY_RULES_SECONDS", "2"))
RATE = 50_000
PATIENCE_SECONDS = SECONDS_MAX + 5 * SECONDS  # what connections hold waits to be read
SCRAPE_SECONDS = 0.2
READ_OCTETS = 1 << 20

CONFIG = """
[listeners.net]
type = "@transport@"
listen = ["127.0.0.1:@net@"]
@listener@

[listeners.internal]
type = "internal"

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"
@destination@

[destinations.ring]
type = "memory"

[pipes.forward]
from = "net"
to = "peer"
overflow = "@overflow@"
spool = "never"
@pipe@

[pipes.own]
from = "internal"
to = "ring"
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, what it takes away and what it leaves."""

    pipe: str = ""
    listener: str = ""
    destination: str = ""
    transport: str = "udp"
    refused: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    filtered: bool = False
    changed: Mapping[str, float] | None = None  # the share of what is delivered, by rule
    in_all: bytes = b""  # in everything that arrives
    in_none: bytes = b"\0"
    away: float = 0.0  # of every two seconds the receiver reads nothing in so many


STRANGERS = 'allow = ["127.1.0.0/16"]'  # nine of ten
PACED = f'rate_limit = "{RATE // SENDERS * 4 // 5}/s"\nburst = 50'
HOST_AND_DATA = '{ host = "web02", data = { "site@32473" = { name = "berlin" } } }'
MASK = r"mask = { regex = '\b\d{4}-\d{4}-\d{4}-\d{4}\b', with = '[card]' }"
CHATTY = 'sample = { one_in = 3, match = { program = "chatty" } }'
ALL = f"""
match = {{ severity = "info" }}
{CHATTY}
shed = {{ below = "notice", at = 0.5 }}
rate_limit = "{RATE * 2}/s"
rewrite = [{HOST_AND_DATA}, {{ match = {{ program = "db" }}, severity = "err" }}]
{MASK}
ttl = "1h"
"""
RULES = {
    "none": Rule(),
    "allow": Rule(
        listener='allow = ["127.0.0.0/16"]', refused=frozenset({"not-allowed"})
    ),
    "rate_limit of senders": Rule(listener=PACED, refused=frozenset({"rate"})),
    "rate_limit of connections": Rule(listener=PACED, transport="tcp"),
    "rate_limit of a pipe": Rule(
        pipe='rate_limit = "5000/s"\nburst = 1000', dropped=frozenset({"rate"})
    ),
    "match": Rule(pipe='match = { program = ["app", "db"] }', filtered=True, in_none=b" chatty "),
    "sample": Rule(pipe=CHATTY, dropped=frozenset({"sampled"})),
    "shed": Rule(
        pipe='shed = { below = "warning", at = 0.02 }\nmessages = 100000',
        dropped=frozenset({"shed"}), away=1.0,
    ),
    "ttl": Rule(pipe='ttl = "1s"', dropped=frozenset({"expired"}), away=1.8),
    "rewrite of the severity": Rule(
        pipe='rewrite = { severity = "notice" }', in_none=b"<14>", changed={"rewrite[0]": 0.75}
    ),
    "rewrite of the host": Rule(pipe='rewrite = { host = "web02" }', in_all=b" web02 "),
    "rewrite, structured data": Rule(
        pipe='rewrite = { data = { "site@32473" = { name = "berlin" } } }',
        in_all=b' [site@32473 name="berlin"] ',
    ),
    "mask": Rule(pipe=MASK, in_none=CARD, changed={"mask[0]": 0.25}),
    "stamp": Rule(destination="stamp = true", in_all=b'[relay@32473 hop="'),
    "all at once": Rule(
        listener=f'allow = ["127.0.0.0/16"]\nrate_limit = "{RATE // SENDERS * 2}/s"\nburst = 300',
        pipe=ALL, destination="stamp = true", refused=frozenset({"not-allowed"}),
        dropped=frozenset({"sampled"}), filtered=True, in_all=b'[site@32473 name="berlin"]',
        in_none=CARD,
    ),
    "all at once, from connections": Rule(
        transport="tcp", pipe=ALL, destination="stamp = true",
        dropped=frozenset({"sampled"}), filtered=True, in_all=b" web02 ", in_none=CARD,
    ),
}  # fmt: skip


class Counter:
    """Receives lines in a thread, and counts them and those with a text in them."""

    def __init__(self, in_all: bytes, in_none: bytes, away: float) -> None:
        self.port = free_port()
        self.lines = self.with_it = self.with_the_other = 0
        self._in_all, self._in_none, self._away = in_all, in_none, away
        self._listening = socket.create_server((HOST, self.port))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counter")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def read_all(self, lines: int) -> None:
        """Wait for what is delivered, and in the kernel for now."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.lines < lines and time.monotonic() < until:
            time.sleep(0.05)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in selector.select(0.1):
                    if key.fileobj is self._listening:
                        sock, _ = self._listening.accept()
                        selector.register(sock, selectors.EVENT_READ, bytearray())
                    elif not self._read(key):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]  # a socket of ours
                if self._away and time.monotonic() % 2 < self._away:
                    self._over.wait(self._away)
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # as above

    def _read(self, key: selectors.SelectorKey) -> bool:
        assert isinstance(key.fileobj, socket.socket)
        data = key.fileobj.recv(READ_OCTETS)
        whole = key.data + data
        end = whole.rfind(b"\n") + 1
        key.data[:] = whole[end:]
        whole = whole[:end]
        self.lines += whole.count(b"\n")
        self.with_it += whole.count(self._in_all) if self._in_all else whole.count(b"\n")
        self.with_the_other += whole.count(self._in_none)
        assert data or not key.data, "the last line is a whole one"
        return bool(data)


@pytest.mark.parametrize("name", RULES)
def test_the_books_hold_under_load_with(prepare: Prepare, name: str) -> None:
    rule = RULES[name]
    with Counter(rule.in_all, rule.in_none, rule.away) as counter:
        relay = prepare(CONFIG, {
            "peer": counter.port, "transport": rule.transport, "pipe": rule.pipe,
            "listener": rule.listener, "destination": rule.destination,
            "overflow": "block" if rule.transport == "tcp" else "drop-newest",
        })  # fmt: skip
        relay.start()
        with (
            relay.watched(SCRAPE_SECONDS) as watch,
            fleet(rule.transport, relay.port("net"), RATE, SECONDS) as send,
        ):
            before, began = relay.cpu_seconds, time.monotonic()
            sent = send()
            books = relay.until(
                lambda it: arrived(it) == sent.messages, "all is read, or dropped", PATIENCE_SECONDS
            )
            cpu, took = relay.cpu_seconds - before, time.monotonic() - began
            books = relay.until(
                lambda it: not total(it["pipes"]["forward"]["held"]), "all is out", PATIENCE_SECONDS
            )
        counter.read_all(total(books["pipes"]["forward"]["delivered"]))
        scraped = relay.metrics()
        assert relay.stop() == 0
    print(report(name, sent, books, cpu, took, watch.scrapes))
    check(rule, sent, books, counter)
    check_scraped(sent, scraped, counter.lines)


def check(rule: Rule, sent: Sent, books: Books, counter: Counter) -> None:
    listener, pipe = books["listeners"]["net"], books["pipes"]["forward"]
    assert sent.messages == arrived(books)
    assert listener["accepted"] == listener["offered"] == pipe["received"]
    assert pipe["recovered"] == pipe["retried"] == pipe["replayed"] == 0
    delivered = total(pipe["delivered"])
    assert pipe["received"] == pipe["filtered"] + total(pipe["dropped"]) + delivered
    assert counter.lines == delivered == counter.with_it
    assert counter.with_the_other == 0

    taken = {reason for reason, count in listener["refused"].items() if count}
    assert taken - {"rate"} == rule.refused - {"rate"}
    assert taken >= rule.refused
    gone = {reason for reason, count in pipe["dropped"].items() if count}
    assert gone - {"full", "shed"} == rule.dropped - {"full", "shed"}  # those: a slow machine
    assert gone >= rule.dropped
    assert bool(pipe["filtered"]) == rule.filtered
    if rule.transport == "tcp":
        assert listener["kernel_dropped"] == total(listener["refused"]) == 0
    for changed, share in (rule.changed or {}).items():
        assert pipe["changed"][changed] == pytest.approx(share * delivered, rel=0.05, abs=100)


def check_scraped(sent: Sent, scraped: Samples, arrived_lines: int) -> None:
    """The same from what Prometheus sees."""
    read = sample(scraped, "relay_listener_received_total", listener="net")
    in_kernel = sample(scraped, "relay_listener_kernel_dropped_total", listener="net")
    assert read + in_kernel == sent.messages
    refused = summed(scraped, "relay_listener_refused_total", "listener")["net"]
    dropped = summed(scraped, "relay_pipe_dropped_total", "pipe")["forward"]
    filtered = sample(scraped, "relay_pipe_filtered_total", pipe="forward")
    assert sent.messages == in_kernel + refused + filtered + dropped + arrived_lines


def arrived(books: Books) -> int:
    listener = books["listeners"]["net"]
    return int(listener["received"] + listener["kernel_dropped"])


def report(name: str, sent: Sent, books: Books, cpu: float, took: float, scrapes: int) -> str:
    """One line of a table."""
    listener, pipe = books["listeners"]["net"], books["pipes"]["forward"]
    refused = {reason: count for reason, count in listener["refused"].items() if count}
    dropped = {reason: count for reason, count in pipe["dropped"].items() if count}
    return (
        f"| {name} | {sent.messages / sent.seconds:,.0f}/s sent | "
        f"{listener['received'] / took:,.0f}/s read | {cpu / listener['received'] * 1e6:.1f} µs | "
        f"sent {sent.messages} = kernel {listener['kernel_dropped']} + refused {refused} + "
        f"filtered {pipe['filtered']} + dropped {dropped} + delivered {total(pipe['delivered'])} | "
        f"{scrapes} scrapes in {took:.1f} s |"
    )
