"""What each rule costs a message: `python -m tests.bench.rules`.

One pipe, batches of 256 messages of 256 octets (RFC 5424), put and dropped; the cost of a pipe
without rules is taken off, so that what is left is the rule's own. The best of several rounds. What
depends on the batch is told for batches of one message, too.
"""

import time
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any

import trio

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.expiry import Expiry
from relay.core.intake import Intake
from relay.core.ledger import Ledger
from relay.core.match import Match, Views
from relay.core.memory import Memory
from relay.core.networks import Senders
from relay.core.outlet import formatted
from relay.core.pipe import Pipe
from relay.core.rate import Buckets, Limit
from relay.core.router import Router
from relay.core.rules import RuleKeys, Rules
from relay.core.upstreams import Upstreams
from relay.listeners.gate import Gate
from relay.system.machine import SystemMachine
from relay.wire.formats import Form
from relay.wire.hop import Hop
from tests.bench.outputs import absent

ROUNDS = 15
BATCHES = 40
MESSAGES = 256
SENDERS = 200
CARD = r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b"
MAIL = r"[\w.+-]+@[\w-]+\.[\w.]+"
EVERY = "web01.example.net"
RARE = "number 77"  # in one message of 100
ABSENT = absent(100)
FEW = {"one_in": 10, "match": {"not": {"severity": "warning"}}}
CASES: Mapping[str, Mapping[str, Any]] = {
    "`match = { severity = \"info\" }`": {"match": {"severity": "info"}},
    "`match` by program, in every message": {"match": {"program": "app"}},
    "`match` by program, in one of 100": {"match": {"program": "cron"}},
    "`match` by program, in none": {"match": {"program": "sshd"}},
    "`match` by `contains`, in every message": {"match": {"contains": EVERY}},
    "`match` by `contains`, in one of 100": {"match": {"contains": RARE}},
    "`match` by `contains`, in none": {"match": {"contains": "secret"}},
    "10 such tables": {"match": [{"contains": it} for it in ABSENT[:10]]},
    "100 such tables": {"match": [{"contains": it} for it in ABSENT]},
    "99 such tables before one that every message matches": {
        "match": [{"contains": it} for it in [*ABSENT[:99], EVERY]]
    },
    "100 such tables, another of them in one of 100": {
        "match": [{"contains": it} for it in [*ABSENT[:99], RARE]]
    },
    "4 such tables, the first in every message": {
        "match": [{"contains": it} for it in [EVERY, *ABSENT[:3]]]
    },
    "`match` by `regex`, in every message": {"match": {"regex": r"app \d+"}},
    "`match` by `regex`, in one of 100": {"match": {"regex": r"number \d+"}},
    "`match` by `regex`, in none": {"match": {"regex": r"[a-z]+: \d+ failed"}},
    "`match = { sender = \"10.0.0.0/16\" }`": {"match": {"sender": "10.0.0.0/16"}},
    "`sample = { one_in = 10 }`": {"sample": {"one_in": 10}},
    "`sample`, with `not = { severity = \"warning\" }`": {"sample": FEW},
    "`shed`, not shedding": {"shed": {"below": "warning"}},
    "`shed`, shedding half": {"shed": {"below": "warning", "at": 0.02, "until": 0.01}},
    "`rate_limit` of a pipe": {"rate_limit": "100000000/s"},
    "`rewrite = { severity = \"notice\" }`": {"rewrite": {"severity": "notice"}},
    "`rewrite = { host = \"web02\" }`": {"rewrite": {"host": "web02"}},
    "`rewrite = { program = \"web\" }`": {"rewrite": {"program": "web"}},
    "`rewrite`, host and program of what `match` took by its program": {
        "match": {"program": "app"}, "rewrite": {"host": "web02", "program": "web"},
    },
    "`rewrite`, structured data": {"rewrite": {"data": {"site@32473": {"name": "berlin"}}}},
    "`mask`, a literal, in no message": {"mask": {"regex": "secret"}},
    "`mask`, mail addresses, in no message": {"mask": {"regex": MAIL}},
    "`mask`, card numbers, in every message": {"mask": {"regex": CARD}},
}  # fmt: skip


def messages() -> list[bytes]:
    return [
        b"<%d>1 2026-11-23T07:28:45.123456Z web01.example.net %b 4711 - - 4111-1111-1111-1111%b"
        % (12 if n % 2 else 14, *((b"cron", b" number 77") if n % 100 == 50 else (b"app", b"")))
        for n in range(MESSAGES)
    ]


def padded() -> list[bytes]:
    """With words, so that a search has something to read."""
    words = b" accepted a connection from the client and sent what it had asked for"
    return [(message + 3 * words)[:256] for message in messages()]


def batch_of(found: list[bytes]) -> Batch:
    senders = [f"10.0.0.{n % SENDERS}" for n in range(len(found))]
    return Batch.of(found, senders, "net", time.time_ns())


def pipe_of(keys: Mapping[str, Any]) -> Pipe:
    rest = {**keys}
    tables = rest.pop("match", [])
    tables = [tables] if isinstance(tables, dict) else tables
    match = [Match.model_validate(it) for it in tables]
    channel = Channel(PipeAccount("pipe"), Bounds(1 << 15, 1 << 30), Memory(1 << 31))
    return Pipe("pipe", match, channel, Rules.of(RuleKeys.model_validate(rest), "relay"))


def put_cost(keys: Mapping[str, Any], *, alone: bool = False) -> float:
    """Nanoseconds a message, of `Pipe.put` on a channel that is emptied between the rounds.

    `alone`: each message is a batch.
    """
    pipe = pipe_of(keys)
    batches = [batch_of([it]) for it in padded()] if alone else [batch_of(padded())]

    def put() -> None:
        for batch in batches:
            pipe.put(batch, Views(batch))

    best = best_of(put, lambda: pipe.channel.drop_all(Drop.REMOVED))
    assert not pipe.account.residual()
    return best


async def delivery_cost(*, expiry: bool, stamp: bool) -> float:
    """Nanoseconds a message, of lending, formatting and settling."""
    channel = pipe_of({}).channel
    if expiry:
        channel.expiry = Expiry(3600 * 10**9, SystemMachine().host("relay").clock)
    channel.lends_numbers = stamp
    form = Form("preserve", "relay", Hop("edge01", "pipe", "0" * 16, "1.0") if stamp else None)
    batch, best = batch_of(padded()), float("inf")
    for _ in range(ROUNDS):
        for _ in range(BATCHES):
            channel.put(batch)
        with channel.lease() as lease:
            began = time.process_time_ns()
            for _ in range(BATCHES):
                for lent in await lease.lend(MESSAGES):
                    formatted(lent, form)
                    lease.settle(len(lent), Confirmation.ACKED)
            best = min(best, (time.process_time_ns() - began) / BATCHES / MESSAGES)
    return best


def hop_cost() -> float:
    """Nanoseconds a message, of looking for the record and following its numbers."""
    hop, upstreams = Hop("edge01", "pipe", "0" * 16, "1.0"), Upstreams()
    rows = [
        [hop.stamp(it, "10.0.0.1", MESSAGES * row + place, made=False)
         for place, it in enumerate(padded())]
        for row in range(BATCHES * ROUNDS)
    ]  # fmt: skip
    left = iter(rows)
    return best_of(lambda: upstreams.look(next(left), 0.0))


def best_of(run: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(BATCHES):
            run()
        best = min(best, (time.process_time_ns() - began) / BATCHES / MESSAGES)
        after()
    return best


def gate_cost(allowed: Senders | None, buckets: Buckets | None) -> float:
    """Nanoseconds a message, of the rules of a listener of datagrams, with 200 senders."""
    batch = batch_of(padded())
    gate = Gate(_intake(), allowed, buckets)
    return best_of(lambda: gate.admit(batch.messages, batch.senders))


def _intake() -> Intake:
    ledger = Ledger()
    host = SystemMachine().host("relay")
    return Intake("net", host, Router(ledger), ledger.listener("net"), 65536)


async def main() -> None:
    allowed = Senders([ip_network("10.0.0.0/8")])
    rates = Buckets(Limit(1e8, 1 << 30))
    nothing, nothing_alone = put_cost({}), put_cost({}, alone=True)
    print("| rule | ns a message | in batches of one |\n| --- | --- | --- |")
    print(f"| none: the whole of `Pipe.put` | {nothing:.0f} | {nothing_alone:.0f} |")
    for name, keys in CASES.items():
        cost, cost_alone = put_cost(keys) - nothing, put_cost(keys, alone=True) - nothing_alone
        print(f"| {name} | {max(0.0, cost):.0f} | {max(0.0, cost_alone):.0f} |")
    print(f"| `allow` of a `udp` listener | {gate_cost(allowed, None):.0f} |")
    print(f"| `rate_limit` of a `udp` listener | {gate_cost(None, rates):.0f} |")
    plain = await delivery_cost(expiry=False, stamp=False)
    print(
        f"| `ttl`, nothing too old | {await delivery_cost(expiry=True, stamp=False) - plain:.0f} |"
    )
    print(f"| `stamp` | {await delivery_cost(expiry=False, stamp=True) - plain:.0f} |")
    print(f"| `hop` of a listener | {hop_cost():.0f} |")


if __name__ == "__main__":
    trio.run(main)
