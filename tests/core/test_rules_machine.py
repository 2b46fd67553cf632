"""A pipe with every rule in front of its channel, driven by any actions: each drop is known.

As `test_channel_machine.py`, with rules that drop before the channel, `ttl` behind it, and masks
that fail. The model says which messages each rule takes away, without the code that ships.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import lease as lease_module
from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.expiry import Expiry
from relay.core.lease import ChannelLease
from relay.core.ledger import Ledger
from relay.core.mask import Masking
from relay.core.match import Views
from relay.core.memory import Memory
from relay.core.pipe import Pipe
from relay.core.receipt import Receipt
from relay.core.router import Router
from relay.core.rules import RuleKeys, Rules
from tests.core.parts import RECEIVED_NS, CancelAt, check, make_receipt

SECOND = 10**9
TTL = 10  # seconds
RATE, BURST = 1, 6
ONE_IN = 3
BOUND = 6  # messages
HEADER = re.compile(rb"<(\d+)>1 2026-11-23T07:28:45Z gate app - - - (\d+) \*\*\* \*\*\*")

KEYS: dict[str, dict[str, object]] = {
    "sample": {"sample": {"one_in": ONE_IN, "match": {"severity": "notice"}}},
    "shed": {"shed": {"at": 0.5, "until": 0.3, "below": "warning"}},
    "rate": {"rate_limit": f"{RATE}/s", "burst": BURST},
    "all": {
        "sample": {"one_in": ONE_IN},
        "shed": {"at": 0.5, "until": 0.3, "below": "warning"},
        "rate_limit": f"{RATE}/s",
        "burst": BURST,
    },
}
CHANGES = {"rewrite": {"host": "gate"}, "mask": {"regex": "hush"}}


@dataclass(eq=False)
class Clock:
    ns: int = RECEIVED_NS

    def now(self) -> float:
        return self.ns / 1e9

    def wall_ns(self) -> int:
        return self.ns


@dataclass(eq=False)
class Masks:
    """Those that ship, unless they fail."""

    real: Masking
    failing: bool = False

    def apply(self, views: Views) -> tuple[Batch, int]:
        if self.failing:
            raise RuntimeError("no mask today")
        return self.real.apply(views)


@dataclass(eq=False)
class Sent:
    """A message, as the model knows it."""

    at_ns: int
    receipt: Receipt | None


def identity(message: bytes) -> int:
    found = HEADER.fullmatch(message)
    assert found, f"neither rewritten nor masked: {message!r}"
    return int(found[2])


@dataclass(eq=False)
class World:
    nursery: trio.Nursery
    keys: dict[str, object]
    overflow: Any
    clock: Clock = field(default_factory=Clock)
    ledger: Ledger = field(default_factory=Ledger)
    sent: list[Sent] = field(default_factory=list)
    dropped: Counter[Drop] = field(default_factory=Counter)
    held: list[int] = field(default_factory=list)  # after the last step
    owing: set[int] = field(default_factory=set)  # of those, whose senders wait for an answer
    leaving: set[int] = field(default_factory=set)  # settled or refused since
    in_hand: list[int] = field(default_factory=list)
    leasing: tuple[AbstractContextManager[ChannelLease], ChannelLease] | None = None
    scopes: list[trio.CancelScope] = field(default_factory=list)
    seen: int = 0  # by `sample`
    shedding: bool = False
    tokens: float = BURST
    filled_ns: int = RECEIVED_NS

    def __post_init__(self) -> None:
        rules = Rules.of(RuleKeys.model_validate({**self.keys, **CHANGES}), "edge")
        assert rules is not None
        assert rules.changes is not None
        self.masks = Masks(rules.changes.maskings[0])
        rules.changes = rules.changes._replace(maskings=[self.masks])  # type: ignore[list-item]
        bounds = Bounds(BOUND, 1 << 20, self.overflow)
        self.channel = Channel(self.ledger.pipe("pipe", "sink"), bounds, Memory(1 << 30))
        self.channel.expiry = Expiry(TTL * SECOND, self.clock)
        self.router = Router(self.ledger, {"net": [Pipe("pipe", [], self.channel, rules)]})

    @property
    def owed(self) -> set[int]:
        return {
            n for n in self.held if (it := self.sent[n].receipt) and it.owed and self.channel.keeps
        }

    # -- actions

    def put(self, severities: list[int], *, notice: bool, receipt: bool) -> None:
        first = len(self.sent)
        messages = [
            b"<%d>1 2026-11-23T07:28:45Z host app - - - %d hush hush" % (8 + severity, first + n)
            for n, severity in enumerate(severities)
        ]
        carried = make_receipt() if receipt else None
        self.sent += [Sent(self.clock.ns, carried)] * len(messages)
        batch = Batch(messages, ["192.0.2.1"] * len(messages), "net", self.clock.ns,
                      sum(map(len, messages)), notice=notice, receipt=carried)  # fmt: skip
        promised = receipt and self.channel.keeps
        places = list(enumerate(severities, first))
        if not notice:
            places = self._kept(places, promised=promised)
        kept = [number for number, _ in places]
        failures = self.channel.account.restarts
        self.router.put(batch)
        failed = bool(kept) and self.masks.failing
        assert self.channel.account.restarts == failures + failed
        if failed:
            self.dropped[Drop.INTERNAL_ERROR] += len(kept)
            kept = []
        if carried is not None:
            carried.pay()
            assert carried._over or not failed, "to send it again would not help"
        self._enter(kept)

    def _kept(self, places: list[tuple[int, int]], *, promised: bool) -> list[tuple[int, int]]:
        """What sampling, shedding and the rate leave, in that order."""
        if "sample" in self.keys:
            mine = [it for it in places if "shed" in self.keys or it[1] <= 5]
            gone = {it for n, it in enumerate(mine, self.seen) if n % ONE_IN}
            self.seen += len(mine)
            places = self._without(places, gone, Drop.SAMPLED)
        if "shed" in self.keys and not promised:
            self.shedding = len(self.held) / BOUND >= (0.3 if self.shedding else 0.5)
            gone = {it for it in places if it[1] > 4} if self.shedding else set()
            places = self._without(places, gone, Drop.SHED)
        if "burst" in self.keys and places:
            # Of the clock in seconds, as the relay has it: what is rounded there is no fault.
            grown = self.tokens + RATE * (self.clock.ns / 1e9 - self.filled_ns / 1e9)
            self.tokens, self.filled_ns = min(BURST, grown), self.clock.ns
            passing = len(places) if promised else max(0, int(self.tokens + 1e-6))
            self.tokens = max(self.tokens - min(passing, len(places)), -BURST)
            places = self._without(places, set(places[passing:]), Drop.RATE)
        return places

    def _without(
        self, places: list[tuple[int, int]], gone: set[tuple[int, int]], reason: Drop
    ) -> list[tuple[int, int]]:
        self.dropped[reason] += len(gone)
        return [it for it in places if it not in gone]

    def _enter(self, kept: list[int]) -> None:
        """The channel has taken all of what the rules have left, or nothing."""
        now = held_by(self.channel)
        came_in = bool(kept) and now[-len(kept) :] == kept
        assert came_in or not set(kept) & set(now)
        if not came_in:
            self.dropped[Drop.FULL] += len(kept)
        before = [number for number in self.held if number in now]
        assert before == now[: len(before)]
        if self.overflow != "drop-oldest":
            assert before == self.held
        self.dropped[Drop.OLDEST] += len(self.held) - len(before)
        self.held = before + kept * came_in

    def fail(self, failing: bool) -> None:
        self.masks.failing = failing

    def wait(self, seconds: float) -> None:
        self.clock.ns += round(seconds * SECOND)

    def lend(self, messages: int, cut: tuple[int, bool]) -> None:
        if self.leasing is None:
            leasing = self.channel.lease()
            self.leasing = leasing, leasing.__enter__()
        lease, scope = self.leasing[1], trio.CancelScope()
        self.scopes.append(scope)

        async def run() -> None:
            with scope, CancelAt(cut[0], scope, late=cut[1]):
                try:
                    batches = await lease.lend(messages)
                except RuntimeError:
                    return  # left meanwhile
                lent = [identity(it) for batch in batches for it in batch.messages]
                old = [n for n in lent if self.clock.ns - self.sent[n].at_ns > TTL * SECOND]
                first = min(self.owed, default=len(self.sent))  # nothing leaves before it
                assert all(n >= first for n in old), "what is too old is not lent"
                self.in_hand += lent

        self.nursery.start_soon(run)

    def settle(self, messages: int) -> None:
        if self.leasing is not None:
            messages = min(messages, len(self.in_hand))
            self._leave_first(messages)
            self.leasing[1].settle(messages, Confirmation.SENT)

    def refuse(self, messages: int) -> None:
        if self.leasing is not None:
            messages = min(messages, len(self.in_hand))
            self._leave_first(messages)
            self.dropped[Drop.REFUSED] += messages
            self.leasing[1].refuse(messages, Drop.REFUSED)

    def _leave_first(self, messages: int) -> None:
        self.leaving.update(self.in_hand[:messages])
        del self.in_hand[:messages]

    def leave(self) -> None:
        if self.leasing is not None:
            self.leasing[0].__exit__(None, None, None)
            self.leasing, self.in_hand = None, []

    def cancel(self) -> None:
        for scope in self.scopes:
            scope.cancel()

    # -- what holds after each step

    def check(self) -> None:
        check(self.channel)
        assert self.ledger.residual() == 0
        now = held_by(self.channel)
        gone = [number for number in self.held if number not in now]
        assert [number for number in self.held if number in now] == now
        assert self.leaving <= set(gone)
        expired = [number for number in gone if number not in self.leaving]
        for number in expired:
            assert self.clock.ns - self.sent[number].at_ns > TTL * SECOND
            assert number not in self.owing, "its sender was promised an answer"
        self.dropped[Drop.EXPIRED] += len(expired)
        self.held, self.leaving = now, set()
        self.owing = self.owed
        assert now[: self.channel.held().lent] == self.in_hand
        account = self.channel.account
        assert {it: n for it, n in account.dropped.items() if n} == dict(+self.dropped)
        assert account.received == len(self.sent)


def held_by(channel: Channel) -> list[int]:
    return [identity(m) for entry in channel._queue.held() for m in entry.batch.messages]


# At which await a wait is cancelled, 0 for none, and whether only when it has ended.
cuts = st.tuples(st.sampled_from([0, 0, 0, 1, 2, 3]), st.booleans())
puts = st.tuples(
    st.just("put"), st.lists(st.sampled_from([3, 4, 5, 6]), min_size=1, max_size=4),
    st.sampled_from([False, False, False, True]), st.booleans(),
)  # fmt: skip
actions = st.one_of(
    puts,
    puts,
    puts,
    st.tuples(st.just("lend"), st.integers(1, 8), cuts),
    st.tuples(st.just("lend"), st.integers(1, 8), cuts),
    st.tuples(st.just("settle"), st.integers(0, 5)),
    st.tuples(st.just("refuse"), st.integers(0, 2)),
    st.tuples(st.just("leave")),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1, 6, TTL, TTL + 1])),
    st.tuples(st.just("fail"), st.sampled_from([False, False, True])),
)


@contextmanager
def small() -> Iterator[None]:
    """A window that small examples close, and no tracebacks of masks that fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease_module, "WINDOW_MESSAGES", 5)
        patch.setattr(logging.getLogger("relay.router"), "disabled", True)
        yield


@settings(max_examples=300)
@given(
    st.sampled_from([*KEYS, "all"]),
    st.sampled_from(["drop-newest", "drop-oldest", "block", "block"]),
    st.lists(actions, min_size=40, max_size=40),
)
def test_what_rules_drop_is_known_after_every_action(
    rule: str, overflow: str, steps: list[tuple[Any, ...]]
) -> None:
    async def play() -> None:
        async with trio.open_nursery() as nursery:
            world = World(nursery, KEYS[rule], overflow)
            for name, *arguments in steps:
                if name == "put":
                    severities, notice, receipt = arguments
                    world.put(severities, notice=notice, receipt=receipt)
                else:
                    getattr(world, name)(*arguments)
                await trio.testing.wait_all_tasks_blocked()
                world.check()
            nursery.cancel_scope.cancel()

    with small():
        trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))
