"""Several destinations while they are killed, stopped and started again, under load.

RELAY_FAILOVER_SECONDS says for how long; five minutes are before a release.
"""

import itertools
import os
import random
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.collector import Collector, Kind
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.waiting import SECONDS_MAX

SECONDS = float(os.environ.get("RELAY_FAILOVER_SECONDS", "5"))
SENDERS = "abcdef"
PER_SECOND = 300  # messages of each sender
LONG_STOP_SECONDS = 14.0  # longer than it takes to be shown as stalled, and stalled_max

CONFIG = """
[relay]
drain_max = "5s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
siem-a = { type = "@kind@", address = "127.0.0.1:@a@" @more@ }
siem-b = { type = "@kind@", address = "127.0.0.1:@b@" @more@ }
siem-c = { type = "@kind@", address = "127.0.0.1:@c@" @more@ }

[pipes.siem]
from = "net"
to = ["siem-a", "siem-b", "siem-c"]
strategy = "@strategy@"
return_after = "1s"
stalled_max = "1s"
overflow = "block"
spool = "@spool@"
"""


@dataclass(slots=True, eq=False)
class Sender:
    """Sends numbered messages over one connection, from an address of its own, until told."""

    name: str
    port: int
    sent: int = 0

    def run(self, over: threading.Event) -> None:
        source = (f"127.0.1.{SENDERS.index(self.name) + 1}", 0)
        with socket.create_connection((HOST, self.port), SECONDS_MAX, source) as sock:
            began = time.monotonic()
            while not over.wait(0.01):
                due = int((time.monotonic() - began) * PER_SECOND) - self.sent
                if due > 0:
                    sock.settimeout(SECONDS + SECONDS_MAX)
                    sock.sendall(stream(numbered(due, self.name, self.sent), "octet"))
                    self.sent += due


@contextmanager
def sending(port: int) -> Iterator[list[Sender]]:
    senders = [Sender(name, port) for name in SENDERS]
    over = threading.Event()
    threads = [threading.Thread(target=it.run, args=(over,)) for it in senders]
    for thread in threads:
        thread.start()
    try:
        yield senders
    finally:
        over.set()
        for thread in threads:
            thread.join()


def trouble(collectors: Sequence[Collector], seconds: float, seed: int) -> Counter[str]:
    """One after the other gets into trouble, sometimes several at a time; the first one first."""
    chance, done = random.Random(seed), Counter[str]()
    end = time.monotonic() + seconds
    collectors[0].kill()
    time.sleep(1.0)
    collectors[0].start()
    long_at = end - LONG_STOP_SECONDS - 2.0 if seconds > 2 * LONG_STOP_SECONDS else end
    while (now := time.monotonic()) < end:
        hit: Sequence[Collector] = chance.sample(collectors, chance.choice((1, 1, 1, 2, 3)))
        what = chance.choice(("kill", "kill", "stop", "stop, then kill"))
        seconds = chance.uniform(0.2, 2.0)
        if now > long_at:
            what, hit, seconds, long_at = "long stop", collectors[:1], LONG_STOP_SECONDS, end
        done[what] += len(hit)
        for collector in hit:
            collector.kill() if what == "kill" else collector.pause()
        time.sleep(seconds)
        for collector in hit:
            if what == "stop, then kill":
                collector.kill()
            if "kill" in what:
                collector.start()
            collector.resume()
        time.sleep(chance.uniform(0.2, 2.5))
    return done


@pytest.mark.parametrize(
    ("strategy", "kind", "spool"),
    [
        ("failover", "tcp", "never"),
        ("failover", "relp", "always"),
        ("balance", "tcp", "always"),
        ("balance", "relp", "never"),
    ],
)
def test_nothing_is_missing_while_destinations_come_and_go(
    prepare: Prepare, tmp_path: Path, strategy: str, kind: Kind, spool: str
) -> None:
    """Three collectors are killed, stopped and started again while six senders go on sending.

    Everything sent is in some collector's file. What one of them got of a sender is in order, but
    for what was sent again; there are no more duplicates than counted as possible; and the books
    are exact at every look.
    """
    collectors = [Collector(kind, tmp_path / f"{name}.log") for name in "abc"]
    ports = {name: it.port for name, it in zip("abc", collectors, strict=True)}
    more = ', replay = "1MiB"' if kind == "tcp" else ""
    values = {"kind": kind, "more": more, "strategy": strategy, "spool": spool, **ports}
    relay = prepare(CONFIG, values)
    try:
        for collector in collectors:
            collector.start()
        relay.start()
        with relay.watched():
            with sending(relay.port("net")) as senders:
                time.sleep(0.5)
                done = trouble(collectors, SECONDS, seed=zlib.crc32(f"{strategy} {kind}".encode()))
            sent = sum(it.sent for it in senders)
            books = relay.until(
                lambda books: (
                    books["pipes"]["siem"]["received"] == sent
                    and not total(books["pipes"]["siem"]["held"])
                ),
                "everything is delivered",
            )
        assert relay.stop() == 0
    finally:
        for collector in collectors:
            collector.kill()
    check(strategy, collectors, {it.name: it.sent for it in senders}, books)
    print(done, books["pipes"]["siem"])  # for who runs it for long


def check(
    strategy: str, collectors: Sequence[Collector], sent: dict[str, int], books: Books
) -> None:
    pipe = books["pipes"]["siem"]
    read = [[numbers(it) for it in collector.connections()] for collector in collectors]
    times = Counter[tuple[str, int]]()
    for found in itertools.chain.from_iterable(read):
        for name, row in found.items():
            times.update((name, number) for number in row)
    expected = {(name, number) for name, count in sent.items() for number in range(count)}
    assert expected - times.keys() == set()
    assert times.keys() - expected == set()

    duplicates = times.total() - len(times)
    assert duplicates <= pipe["retried"] + pipe["replayed"]
    late = 0
    for connections in read:
        for name in sent:  # what came once only, over the connections one after the other
            once = [n for it in connections for n in it.get(name, ()) if times[name, n] == 1]
            highest = itertools.accumulate(once, max)
            late += sum(n < most for n, most in zip(once, highest, strict=True))
    # One that has acknowledged messages and not read them has them no more when it is killed; its
    # senders may have another destination by then. In failover they are sent again before others.
    assert late <= (pipe["replayed"] if strategy == "balance" else 0)

    assert total(pipe["delivered"]) == sum(sent.values())
    assert total(pipe["dropped"]) == 0
    each = pipe["destinations"].values()
    assert sum(it["delivered"] for it in each) >= total(pipe["delivered"])
    assert pipe["failovers"] > 0
