"""Pipes that share one memory, driven by any actions in any order: every identity, after each step.

An example is a list of actions, which one `trio.run` plays. Waits are tasks of their own: they stay
parked across actions, and are cancelled at one of their awaits if the example says so.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_typing import TaskStatus

from relay.core import lease as lease_module
from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.backlog import SpoolMode
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.delivery import POISON_FAILURES, Poison, deliver
from relay.core.errors import DestinationDown, DestinationRefused
from relay.core.lease import ChannelLease, Lease
from relay.core.ledger import Ledger
from relay.core.match import Match
from relay.core.memory import Memory, cost
from relay.core.outlet import Outlet
from relay.core.pipe import Pipe
from relay.core.receipt import Receipt
from relay.core.router import Router
from tests.core.parts import (
    RECEIVED_NS,
    WIDE,
    CancelAt,
    check,
    check_listener,
    check_memory,
    contents,
    lent,
    make_channel,
    make_outlet,
    make_receipt,
    number,
    numbered,
)

ERR, NOTICE = b"<11>", b"<13>"
PIPES = range(3)
LISTENERS = ["a", "b", "own"]
# For each listener the pipes it feeds: three configurations that a reload goes between.
ROUTES: list[dict[str, list[int]]] = [
    {"a": [0, 1], "b": [1, 2], "own": [0, 1, 2]},
    {"a": [2], "b": [0, 1], "own": [2]},
    {"b": [1], "own": []},
]
# What each pipe takes, as tables and as the model knows it.
MATCH = [[], [Match.model_validate({"severity": "err"})],
         [Match.model_validate({"not": {"severity": "err"}})]]  # fmt: skip
TAKES: list[Callable[[bool], bool]] = [lambda _: True, lambda bad: bad, lambda bad: not bad]


def identity(message: bytes) -> int:
    return number(message[4:])


def held_by(channel: Channel) -> list[int]:
    return [identity(m) for entry in channel._queue.held() for m in entry.batch.messages]


@dataclass(eq=False)
class Waiter:
    """A task that may be parked."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    done: bool = False


@dataclass(eq=False)
class Piped:
    """A pipe, and what the model knows of it."""

    pipe: Pipe
    takes: Callable[[bool], bool]
    bounds: Bounds
    put: list[int] = field(default_factory=list)  # every message it had to take, in order
    entered: int = 0  # how many of them found room
    place: dict[int, int] = field(default_factory=dict)  # the channel's number of those
    in_hand: list[int] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)  # held after the last step
    seen: int = 0  # of `put`, how many there were then
    owing: dict[int, Receipt] = field(default_factory=dict)
    leasing: tuple[AbstractContextManager[ChannelLease], ChannelLease] | None = None
    lending: list[tuple[Waiter, ChannelLease]] = field(default_factory=list)
    emptying: list[Waiter] = field(default_factory=list)

    @property
    def channel(self) -> Channel:
        return self.pipe.channel


class World:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.ledger = Ledger()
        self.memory = Memory(2000)
        self.router = Router(self.ledger)
        self.piped = [self._pipe(n) for n in PIPES]
        self.routes = ROUTES[0]
        self.accepted: Counter[str] = Counter()
        self.offered = 0
        self.receipts: list[Receipt] = []
        self.listening: list[tuple[Waiter, str]] = []
        self.messages = 0
        self.now = 0.0
        self.told = 0
        self.counters: dict[tuple[str, str], int] = {}
        self.reroute(0)

    def _pipe(self, n: int) -> Piped:
        bounds = Bounds(6, 2000)
        channel = Channel(self.ledger.pipe(f"pipe {n}", "sink"), bounds, self.memory)
        return Piped(Pipe(f"pipe {n}", MATCH[n], channel), TAKES[n], bounds)

    def start(self, wait: Callable[[], Awaitable[None]], cut: tuple[int, bool]) -> Waiter:
        """Run a wait as a task, which is cancelled at this await of it, if it comes so far."""
        waiter = Waiter()

        async def run() -> None:
            with waiter.scope, CancelAt(cut[0], waiter.scope, late=cut[1]):
                await wait()
            waiter.done = True

        self.nursery.start_soon(run)
        return waiter

    def nothing(self) -> None:
        """What an action shrinks to."""

    # -- actions: the listeners' side

    def put(self, listener: str, bad: list[bool], octets: int, notice: bool, receipt: bool) -> None:
        messages = []
        for is_bad in bad:
            text = b"%d" % self.messages
            messages.append((ERR if is_bad else NOTICE) + text + b"." * (octets - len(text)))
            self.messages += 1
        carried = make_receipt() if receipt else None
        batch = Batch(
            messages, ["local"] * len(messages), listener, RECEIVED_NS, sum(map(len, messages)),
            notice=notice, receipt=carried,
        )  # fmt: skip
        fed = [self.piped[n] for n in self.routes.get(listener, [])]
        before = [self._before(piped) for piped in fed]
        self.router.put(batch)
        self.accepted[listener] += len(batch)
        self.offered += len(batch) * len(fed)
        if carried:
            carried.pay()
            self.receipts.append(carried)
        for piped, seen in zip(fed, before, strict=True):
            taken = [message for message in messages if piped.takes(message.startswith(ERR))]
            if taken:
                self._after(piped, seen, taken, batch)

    @staticmethod
    def _before(piped: Piped) -> tuple[list[int], int]:
        channel = piped.channel
        in_hand = held_by(channel)[: channel.held().lent]
        return in_hand, sum(channel.account.dropped.values())

    @staticmethod
    def _after(
        piped: Piped, before: tuple[list[int], int], messages: list[bytes], batch: Batch
    ) -> None:
        channel, bounds = piped.channel, piped.bounds
        in_hand, dropped = before
        taken = list(map(identity, messages))
        held = held_by(channel)
        assert held[: channel.held().lent] == in_hand, "what is lent is never dropped"
        piped.put += taken
        came_in = held[-len(taken) :] == taken
        assert came_in or not set(taken) & set(held), "all of a batch or nothing"
        if came_in:
            piped.place |= {n: piped.entered + i for i, n in enumerate(taken)}
            piped.entered += len(taken)
        else:
            dropped += len(taken)
        only_notice = batch.notice and channel._queue.notices == 1
        promised = batch.receipt is not None and bounds.overflow == "block"
        if came_in and not only_notice and not promised:
            rest = len(held) - len(taken)
            octets = channel.held().octets - sum(map(len, messages))
            assert rest < bounds.messages, "no more than one batch above its bounds"
            assert cost(rest, octets) < bounds.memory
        if bounds.overflow != "drop-oldest":
            assert sum(channel.account.dropped.values()) == dropped
        if came_in and batch.receipt and bounds.overflow == "block":
            piped.owing |= dict.fromkeys(taken, batch.receipt)

    def listen(self, listener: str, messages: int, cut: tuple[int, bool]) -> None:
        """Wait for room; what is put then is dropped nowhere where dropping is not allowed."""

        async def wait() -> None:
            await self.router.room(listener)
            blocking = [
                piped.channel
                for n in self.routes.get(listener, [])
                if (piped := self.piped[n]).bounds.overflow == "block"
                and piped.channel.closing is None
            ]
            assert not any(channel.blocked for channel in blocking)
            before = [sum(channel.account.dropped.values()) for channel in blocking]
            self.put(listener, [True, False] * messages, 0, notice=False, receipt=True)
            assert before == [sum(channel.account.dropped.values()) for channel in blocking]

        self.listening.append((self.start(wait, cut), listener))

    # -- actions: the deliveries' side

    def lease(self, n: int) -> ChannelLease:
        piped = self.piped[n]
        if piped.leasing is None:
            leasing = piped.channel.lease()
            piped.leasing = leasing, leasing.__enter__()
        return piped.leasing[1]

    def leave(self, n: int) -> None:
        piped = self.piped[n]
        if piped.leasing is not None:
            before = held_by(piped.channel)
            piped.leasing[0].__exit__(None, None, None)
            piped.leasing = None
            piped.in_hand = []
            assert held_by(piped.channel) == before

    def lend(self, n: int, messages_max: int, cut: tuple[int, bool]) -> None:
        piped, lease = self.piped[n], self.lease(n)
        channel = piped.channel

        async def wait() -> None:
            try:
                batches = await lease.lend(messages_max)
            except RuntimeError:
                assert piped.leasing is None or piped.leasing[1] is not lease
                return
            taken = [identity(m) for batch in batches for m in batch.messages]
            assert taken
            assert len(batches) == 1 or len(piped.in_hand) + len(taken) <= 5, "the window"
            assert len(batches) == 1 or len(taken) <= messages_max
            if channel._careful:
                assert len(taken) == lease.lent == 1
            piped.in_hand += taken
            assert held_by(channel)[: lease.lent] == piped.in_hand

        piped.lending.append((self.start(wait, cut), lease))

    def cancel_lending(self, n: int) -> None:
        for waiter, _ in self.piped[n].lending:
            waiter.scope.cancel()

    def settle(self, n: int, share: float) -> None:
        piped = self.piped[n]
        if piped.leasing is not None:
            messages = round(len(piped.in_hand) * share)
            piped.settled += piped.in_hand[:messages]
            del piped.in_hand[:messages]
            piped.leasing[1].settle(messages, Confirmation.SENT)

    def refuse(self, n: int, share: float) -> None:
        piped = self.piped[n]
        if piped.leasing is not None:
            messages = round(len(piped.in_hand) * share)
            del piped.in_hand[:messages]
            piped.leasing[1].refuse(messages, Drop.REFUSED)

    # -- actions: the supervisor's side

    def drop_all(self, n: int) -> None:
        self.leave(n)
        held = held_by(self.piped[n].channel)
        assert self.piped[n].channel.drop_all(Drop.REMOVED) == len(held)
        assert held_by(self.piped[n].channel) == []

    def refuse_head(self, n: int) -> None:
        self.leave(n)
        held = held_by(self.piped[n].channel)
        self.piped[n].channel.refuse_head(Drop.INTERNAL_ERROR)
        assert held_by(self.piped[n].channel) == held[1:]

    def careful(self, n: int, messages: int) -> None:
        self.piped[n].channel.be_careful(messages)

    def close(self, n: int, reason: Drop | None) -> None:
        self.piped[n].channel.closing = reason

    def stop(self, n: int, stopping: bool) -> None:
        self.piped[n].channel.stopping = stopping

    def bound(self, n: int, bounds: Bounds) -> None:
        self.piped[n].bounds = bounds
        self.piped[n].channel.bound(bounds)

    def resize(self, octets: int) -> None:
        self.memory.resize(octets)

    def reroute(self, which: int) -> None:
        self.routes = ROUTES[which]
        self.router.routes = {
            listener: [self.piped[n].pipe for n in fed] for listener, fed in self.routes.items()
        }

    def empty(self, n: int, cut: tuple[int, bool]) -> None:
        piped = self.piped[n]

        async def wait() -> None:
            await piped.channel.empty()
            assert held_by(piped.channel) == []

        piped.emptying.append(self.start(wait, cut))

    def tell(self, seconds: float) -> None:
        self.now += seconds
        self.count_told(self.ledger.losses.due(self.now))

    def count_told(self, texts: list[str]) -> None:
        for text in texts:
            found = re.match(r"dropped (\d+) messages? to destination sink: ", text)
            assert found
            self.told += int(found[1])

    # -- what holds after each step

    def check(self) -> None:
        assert self.ledger.residual() == 0
        assert self.offered == sum(it.offered for it in self.ledger.listeners.values())
        for name, account in self.ledger.listeners.items():
            assert account.accepted == self.accepted[name]
            account.received = account.accepted  # an intake would have counted them
            check_listener(account)
        for piped in self.piped:
            self._check_pipe(piped)
        check_memory(self.memory)
        assert self.memory.used == {p.channel: cost_of(p.channel) for p in self.piped}
        for receipt in self.receipts:
            owing = [p for p in self.piped if any(p.owing.get(n) is receipt for n in p.alive)]
            assert receipt._over or receipt.owed == len(owing)
            assert receipt.owed >= len(owing)
        accounts = self.ledger.pipes.values()
        to_tell = sum(sum(it.dropped.values()) - it.notices_dropped for it in accounts)
        assert self.told + self.ledger.losses.untold == to_tell
        for pipe_account in accounts:
            self._check_counters(pipe_account)
        self._check_waits()

    def _check_pipe(self, piped: Piped) -> None:
        channel, account = piped.channel, piped.channel.account
        check(channel)
        held = held_by(channel)
        assert held == sorted(set(held)), "in order, and once"
        assert held[: channel.held().lent] == piped.in_hand, "a cancelled lend takes nothing"
        assert channel.next == piped.entered
        assert channel.head == (piped.place[held[0]] if held else channel.next)
        assert set(held) <= piped.alive | set(piped.put[piped.seen :]), "who is gone stays gone"
        piped.alive, piped.seen = set(held), len(piped.put)
        assert account.received - account.filtered == len(piped.put)
        assert piped.settled == sorted(set(piped.settled))
        assert not set(piped.settled) & piped.alive
        assert sum(account.delivered.values()) == len(piped.settled)
        gone = len(piped.put) - len(piped.settled) - len(held)
        assert sum(account.dropped.values()) == gone

    def _check_counters(self, account: PipeAccount) -> None:
        """No counter ever goes backwards."""
        now: dict[str, int] = {
            "received": account.received, "filtered": account.filtered,
            "retried": account.retried, "notices": account.notices_dropped,
            **{str(name): count for name, count in account.delivered.items()},
            **{str(name): count for name, count in account.dropped.items()},
        }  # fmt: skip
        for name, count in now.items():
            assert count >= self.counters.get((account.name, name), 0)
            self.counters[account.name, name] = count

    def _check_waits(self) -> None:
        """Whoever is still parked has a reason to wait."""
        for waiter, listener in self.listening:
            fed = [self.piped[n].channel for n in self.routes.get(listener, [])]
            assert waiter.done or any(channel.blocked for channel in fed)
        for piped in self.piped:
            for waiter, lease in piped.lending:
                assert waiter.done or piped.leasing is not None
                assert waiter.done or not lease._can_lend(piped.channel)
            for waiter in piped.emptying:
                assert waiter.done or held_by(piped.channel)

    async def finish(self) -> None:
        """Whatever was done before: one good delivery empties every channel."""
        self.resize(1 << 30)
        for n, piped in enumerate(self.piped):
            self.bound(n, WIDE)
            self.close(n, None)
            self.cancel_lending(n)
            self.leave(n)
            lease = self.lease(n)
            while held_by(piped.channel):
                lending = await lease.lend()
                piped.in_hand += [identity(m) for batch in lending for m in batch.messages]
                self.settle(n, 1)
                self._check_pipe(piped)
        await trio.testing.wait_all_tasks_blocked()
        self.check()
        for waiter, _ in self.listening:
            assert waiter.done
        self.count_told(self.ledger.losses.rest(self.now))
        assert self.ledger.losses.untold == 0
        self.check()


def cost_of(channel: Channel) -> int:
    held = channel.held()
    return cost(held.memory + held.lent, held.octets)


pipes = st.sampled_from([0, 0, 0, 1, 1, 2])
listeners = st.sampled_from(LISTENERS)
# At which await, 0 for none, and whether only when it has ended.
cuts = st.tuples(st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3]), st.booleans())
shares = st.sampled_from([0.3, 0.5, 1.0])
bounds = st.builds(
    Bounds,
    messages=st.one_of(st.integers(1, 12), st.just(1000)),
    memory=st.one_of(st.integers(1, 1500), st.just(1 << 20)),
    overflow=st.sampled_from(["drop-newest", "drop-oldest", "block"]),
)
puts = st.tuples(
    st.just("put"), listeners, st.lists(st.booleans(), min_size=1, max_size=5),
    st.sampled_from([0, 10, 300]), st.booleans(), st.booleans(),
)  # fmt: skip
deliveries = st.one_of(
    st.tuples(st.just("lend"), pipes, st.integers(1, 8), cuts),
    st.tuples(st.just("settle"), pipes, shares),
    st.tuples(st.just("refuse"), pipes, shares),
    st.tuples(st.just("leave"), pipes),
)
actions = st.one_of(
    st.tuples(st.just("nothing")),
    puts,
    puts,
    puts,
    deliveries,
    deliveries,
    deliveries,
    st.tuples(st.just("listen"), listeners, st.integers(1, 3), cuts),
    st.tuples(st.just("cancel_lending"), pipes),
    st.tuples(st.just("drop_all"), pipes),
    st.tuples(st.just("refuse_head"), pipes),
    st.tuples(st.just("careful"), pipes, st.integers(0, 6)),
    st.tuples(st.just("close"), pipes, st.sampled_from([None, None, None, Drop.REMOVED])),
    st.tuples(st.just("stop"), pipes, st.booleans()),
    st.tuples(st.just("bound"), pipes, bounds),
    st.tuples(st.just("resize"), st.integers(100, 4000)),
    st.tuples(st.just("reroute"), st.sampled_from(range(len(ROUTES)))),
    st.tuples(st.just("empty"), pipes, cuts),
    st.tuples(st.just("tell"), st.sampled_from([0.0, 1.0, 9.0, 10.0, 60.0])),
)


def run(example: Callable[[], Awaitable[None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:  # a window that small examples close
        patch.setattr(lease_module, "WINDOW_MESSAGES", 5)
        patch.setattr(lease_module, "WINDOW_OCTETS", 700)
        patch.setattr(lease_module, "TURN_OCTETS", 400)
        trio.run(example, clock=trio.testing.MockClock(autojump_threshold=0))


@settings(max_examples=300)
@given(st.lists(actions, min_size=50, max_size=50))
def test_every_identity_holds_after_every_action(steps: list[tuple[Any, ...]]) -> None:
    async def play() -> None:
        async with trio.open_nursery() as nursery:
            world = World(nursery)
            for name, *arguments in steps:
                getattr(world, name)(*arguments)
                await trio.testing.wait_all_tasks_blocked()
                world.check()
            await world.finish()
            nursery.cancel_scope.cancel()

    run(play)


# -- the real delivery, with a destination that does anything


class Bug(Exception):
    """Something nobody expected."""


Deed = tuple[str, int]
FAULTS: dict[str, Exception] = {
    "down": DestinationDown("down"),
    "refused": DestinationRefused("refused"),
    "bug": Bug(),
}


@dataclass(eq=False)
class Scripted:
    """Does what the script says, one deed at a time; when it has ended, delivers everything."""

    script: Iterator[Deed]
    channel: Channel
    delivered: list[int] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    type: str = "scripted"
    stamp: bool = False
    spool: SpoolMode = "never"
    descriptors: int = 2

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        for name, count in self.script:
            self.done[name] += 1
            self.done[name + " in hand"] += lease.lent > 0
            await self._act(name, count, lease, task_status)
            check(self.channel)
            if name == "end":
                return
        task_status.started()
        while True:
            self._settle(lease, lease.lent)
            await lease.lend()

    async def _act(
        self, name: str, count: int, lease: Lease, task_status: TaskStatus[None]
    ) -> None:
        if name == "started":
            task_status.started()
        elif name == "lend":
            with trio.move_on_after(1):
                await lease.lend(count)
        elif name == "settle":
            self._settle(lease, min(count, lease.lent))
        elif name == "refuse":
            lease.refuse(min(count, lease.lent), Drop.TOO_LARGE)
        elif name == "wait":
            await trio.lowlevel.checkpoint()
        elif name in FAULTS:
            raise FAULTS[name]

    def _settle(self, lease: Lease, messages: int) -> None:
        self.delivered += lent(self.channel)[:messages]
        lease.settle(messages, Confirmation.SENT)


async def keep_delivering(scripted: Scripted, poison: Poison) -> None:
    while True:
        try:
            await deliver(scripted.channel, scripted, make_outlet(scripted.channel))
        except Bug:
            poison.failed(scripted.channel)
        check(scripted.channel)
        await trio.sleep(1)


@contextmanager
def delivering(nursery: trio.Nursery, scripted: Scripted, poison: Poison, cut: tuple[int, bool]
               ) -> Iterator[None]:  # fmt: skip
    """A delivery that is cancelled at one of its awaits, if it comes so far, or at the end."""
    scope = trio.CancelScope()

    async def run() -> None:
        with scope, CancelAt(cut[0], scope, late=cut[1]):
            await keep_delivering(scripted, poison)

    nursery.start_soon(run)
    yield
    scope.cancel()


deeds = st.tuples(
    st.sampled_from(
        ["nothing", "started", "lend", "lend", "lend", "settle", "settle", "refuse",
         "wait", "wait", "end", "down", "refused", "bug", "bug"]
    ),
    st.integers(0, 5),
)  # fmt: skip
rounds = st.tuples(
    st.lists(st.integers(1, 4), max_size=4),  # batches that are put at once
    st.sampled_from([0, 1, 5, 100]),  # seconds that pass then
    st.tuples(st.integers(0, 30), st.booleans()),  # where the delivery is cut in this round
)


@settings(max_examples=300)
@given(st.lists(deeds, min_size=30, max_size=30), st.lists(rounds, min_size=6, max_size=6))
def test_whatever_a_destination_does_messages_arrive_in_order_or_are_counted(
    script: list[Deed], steps: list[tuple[list[int], int, tuple[int, bool]]]
) -> None:
    async def play() -> None:
        channel = make_channel()
        scripted = Scripted(iter(script), channel)
        poison = Poison()
        put = 0
        async with trio.open_nursery() as nursery:
            for batches, seconds, cut in [*steps, ([1], 1, (0, False))]:
                with delivering(nursery, scripted, poison, cut):
                    for messages in batches:
                        channel.put(numbered(put, put + messages))
                        put += messages
                    check(channel)
                    await trio.sleep(seconds)
                await trio.testing.wait_all_tasks_blocked()
                check(channel)
                check_delivered(scripted, put)
            with delivering(nursery, scripted, poison, (0, False)), trio.fail_after(1e6):
                await channel.empty()
        assert contents(channel) == []
        check_delivered(scripted, put)

    run(play)


def check_delivered(scripted: Scripted, put: int) -> None:
    """In order and once; the others are held, or dropped for a reason that there was."""
    channel, account = scripted.channel, scripted.channel.account
    delivered, held, dropped = scripted.delivered, contents(channel), account.dropped
    assert delivered + held == sorted(set(delivered + held))
    assert sum(account.delivered.values()) == len(delivered)
    assert len(delivered) + len(held) + sum(dropped.values()) == put
    assert dropped[Drop.REFUSED] == scripted.done["refused in hand"]
    assert dropped[Drop.INTERNAL_ERROR] * POISON_FAILURES <= scripted.done["bug in hand"]
    assert sum(dropped.values()) == sum(
        dropped[reason] for reason in (Drop.REFUSED, Drop.TOO_LARGE, Drop.INTERNAL_ERROR)
    )
