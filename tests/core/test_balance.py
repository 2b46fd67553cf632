"""Several destinations for one channel, which share it."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from trio_typing import TaskStatus

from relay.core.account import Confirmation, Drop
from relay.core.backlog import SpoolMode
from relay.core.balance import Balance
from relay.core.batch import Batch
from relay.core.candidate import Rank
from relay.core.channel import Channel
from relay.core.delivery import Poison
from relay.core.errors import DestinationDown, DestinationRefused
from relay.core.lease import WINDOW_MESSAGES, Lease
from relay.core.outlet import Outlet
from relay.core.place import Place
from relay.core.sharing import LOOK_SECONDS, Sharing
from tests.core.parts import RECEIVED_NS, check, make_channel
from tests.core.several import delivering_by, refused_by, with_letters

KEYS = Sharing("balance", 30.0, 60.0)
CLOSE = LOOK_SECONDS + 0.1


@dataclass(slots=True, eq=False)
class Peer:
    """A destination that does what the test says at this moment; each change wakes it."""

    name: str
    down: str = ""
    refuses: str = ""
    poison: bytes = b"-"  # a bug: it fails on this message
    buggy: bool = False  # another: it fails with nothing in hand
    deaf: bool = False  # takes messages and settles none
    silent: bool = False  # deaf, and shown as stalled
    pause: float = 0.0  # before each message is settled
    keeps: int = 0
    unread: bool = False  # says that the tail is to come again when it breaks
    got: list[tuple[str, int]] = field(default_factory=list)  # settled, in order
    lent: list[tuple[str, int]] = field(default_factory=list)  # and lent
    attempts: int = 0
    type: str = "acting"
    stamp: bool = False
    spool: SpoolMode = "never"
    descriptors: int = 2
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def become(self, **changes: object) -> None:
        for name, value in changes.items():
            setattr(self, name, value)
        self._news.unpark_all()

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        self.attempts += 1
        await trio.sleep(0.01)
        if self.down:
            raise DestinationDown(self.down)
        if self.buggy:
            raise ZeroDivisionError
        lease.keep(self.keeps)
        task_status.started()
        failed: list[ZeroDivisionError] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take, lease, failed, nursery.cancel_scope)
                while not (self.down or self.refuses):
                    outlet.health.stalled = self.silent
                    await self._news.park()
                nursery.cancel_scope.cancel()
        finally:
            if lease.given_up or (self.down and self.unread):
                lease.replay()
        if failed:
            raise failed[0]
        if refused := self.refuses:
            self.refuses = ""
            raise DestinationRefused(refused)
        raise DestinationDown(self.down)

    async def _take(
        self, lease: Lease, failed: list[ZeroDivisionError], scope: trio.CancelScope
    ) -> None:
        while True:
            batches = await lease.lend()
            rows = [row for batch in batches for row in rows_of(batch)]
            self.lent += rows
            if any(self.poison in batch.messages for batch in batches):
                failed.append(ZeroDivisionError())
                scope.cancel()
                await trio.sleep_forever()
            while self.deaf or self.silent:
                await self._news.park()
            for row in rows:
                if self.pause:
                    await trio.sleep(self.pause)
                self.got.append(row)
                lease.settle(1, Confirmation.ACKED)


def rows_of(batch: Batch) -> Sequence[tuple[str, int]]:
    return [(s, int(m)) for m, s in zip(batch.messages, batch.senders, strict=True)]


@dataclass(slots=True, eq=False)
class Bench:
    channel: Channel
    balance: Balance
    places: Sequence[Place]
    numbers: Counter[str] = field(default_factory=Counter)

    def put(self, *senders: str) -> None:
        """One batch with a message of each of these."""
        messages = []
        for sender in senders:
            messages.append(b"%d" % self.numbers[sender])
            self.numbers[sender] += 1
        self.channel.put(Batch.of(messages, senders, "net", RECEIVED_NS))

    @property
    def sent(self) -> set[tuple[str, int]]:
        return {(name, n) for name, count in self.numbers.items() for n in range(count)}


@asynccontextmanager
async def delivering(
    *peers: Peer, channel: Channel | None = None, ranks: Sequence[Rank] = ()
) -> AsyncIterator[Bench]:
    channel = channel or make_channel()
    account = channel.account
    account.configure([it.name for it in peers])
    balance = Balance(channel, KEYS, Poison())
    places = [balance.seat(account.health(it.name)) for it in peers]
    for place, rank in zip(places, ranks, strict=False):
        place.rank = rank
    balance.arrange(places, KEYS)
    bench = Bench(channel, balance, places)
    async with delivering_by(balance, channel, places, peers):
        yield bench


def in_order(rows: Sequence[tuple[str, int]]) -> bool:
    last: dict[str, int] = {}
    for sender, n in rows:
        if n <= last.get(sender, -1):
            return False
        last[sender] = n
    return True


SENDERS = [f"192.0.2.{n}" for n in range(40)]


async def test_all_that_are_up_have_a_fair_part_and_each_sender_one_destination(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peers = [Peer(name) for name in "abc"]
    async with delivering(*peers) as bench:
        await trio.sleep(1)
        for _ in range(20):
            bench.put(*SENDERS)
            await trio.sleep(0.1)
        assert {row for it in peers for row in it.got} == bench.sent
        senders = [{sender for sender, _ in it.got} for it in peers]
        assert sum(map(len, senders)) == len(SENDERS)
        assert min(map(len, senders)) >= len(SENDERS) // 5
        assert all(in_order(it.got) for it in peers)
        health = bench.channel.account.healths
        assert [health[it.name].delivered for it in peers] == [len(it.got) for it in peers]


async def test_one_that_dies_hands_what_it_was_lent_to_the_others_before_what_is_younger(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", deaf=True), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        for _ in range(5):
            bench.put(*SENDERS)
        await trio.sleep(1)
        a.become(down="reset")
        for _ in range(5):
            bench.put(*SENDERS)
        await trio.sleep(0.1)
        assert set(b.got) == bench.sent
        assert in_order(b.got)
        account = bench.channel.account
        assert (account.retried, account.failovers) == (len(a.lent), 1)
        assert bench.channel.is_empty


async def test_one_that_comes_back_has_its_part_again_and_order_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b", pause=0.001)
    async with delivering(a, b) as bench:
        await trio.sleep(0.5)
        for round_ in range(300):
            bench.put(*SENDERS)
            if round_ == 100:
                a.become(down="")
            await trio.sleep(0.01)
        await trio.sleep(20)
        assert set(a.got) | set(b.got) == bench.sent
        assert len(a.got) + len(b.got) == len(bench.sent)
        assert in_order(a.got)
        assert in_order(b.got)
        assert len({sender for sender, _ in a.got}) >= len(SENDERS) // 3
        for sender in {sender for sender, _ in a.got}:  # moved once
            moved = min(n for name, n in a.got if name == sender)
            assert [n for name, n in b.got if name == sender] == [*range(moved)]


async def test_a_slow_one_holds_the_others_up_no_sooner_than_the_window_says(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", deaf=True), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        for _ in range(200):
            bench.put(*SENDERS)
        await trio.sleep(1)
        assert bench.channel.held().lent == WINDOW_MESSAGES
        assert WINDOW_MESSAGES // 4 < len(b.got) < WINDOW_MESSAGES
        a.become(deaf=False)
        await trio.sleep(1)
        assert set(a.got) | set(b.got) == bench.sent


async def test_a_stalled_one_is_done_without_for_a_while(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = Peer("a"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        a.become(silent=True)
        for _ in range(200):
            bench.put(*SENDERS)
        await trio.sleep(KEYS.stalled_max - 2)
        assert len(b.got) < len(bench.sent)
        await trio.sleep(2 + CLOSE)
        assert set(b.got) == bench.sent
        assert in_order(b.got)
        assert a.attempts == 1
        await trio.sleep(KEYS.return_after)
        assert a.attempts == 1  # it did not last
        await trio.sleep(KEYS.return_after)
        assert a.attempts == 2
    assert "pipe pipe does without a for 60.0 s: it is stalled" in caplog.text


async def test_a_stalled_one_is_done_without_no_longer_than_there_are_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        a.become(silent=True)
        bench.put(*SENDERS)
        await trio.sleep(KEYS.stalled_max + 2 * CLOSE)
        assert (a.attempts, set(b.got)) == (1, bench.sent)
        a.become(silent=False)
        b.become(down="reset")
        bench.put(*SENDERS)
        await trio.sleep(CLOSE)
        assert a.attempts == 2
        assert {*a.got, *b.got} == bench.sent


async def test_the_only_one_is_not_given_up_for_stalling(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", silent=True), Peer("b", down="refused")
    async with delivering(a, b) as bench:
        bench.put(*SENDERS)
        await trio.sleep(1000)
        assert a.attempts == 1


async def test_with_nobody_up_everything_is_in_the_channel_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", deaf=True), Peer("b", deaf=True)
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert bench.channel.held().lent == len(SENDERS)
        a.become(down="reset")
        b.become(down="reset")
        await trio.sleep(0.1)
        assert bench.channel.held().lent == 0
        assert not bench.channel.account.up
        b.become(down="", deaf=False)
        await trio.sleep(100)
        assert set(b.got) == bench.sent
        assert in_order(b.got)


async def test_one_that_comes_as_the_last_one_leaves_has_what_that_one_was_lent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    balance = Balance(channel, KEYS, Poison())
    first, second = (balance.seat(channel.account.health(name)) for name in "ab")
    balance.arrange([first, second], KEYS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(balance.run)
        channel.put(Batch.of([b"0", b"1"], ["s", "s"], "net", RECEIVED_NS))
        with first.lease() as lease:
            await lease.lend()
        with second.lease() as share:
            balance.take(share)  # before the one that shares out has heard of it
            with trio.fail_after(1):
                (batch,) = await share.lend()
            assert rows_of(batch) == [("s", 0), ("s", 1)]
            share.settle(2, Confirmation.ACKED)
            check(channel)
            assert channel.is_empty
        nursery.cancel_scope.cancel()


async def test_what_one_may_not_have_read_is_sent_to_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", keeps=1 << 20, unread=True), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        for _ in range(5):
            bench.put(*SENDERS)
        await trio.sleep(1)
        before = [*b.got]
        a.become(down="reset")
        await trio.sleep(0.1)
        assert b.got[len(before) :] == a.got
        account = bench.channel.account
        assert (account.replayed, account.in_doubt) == (len(a.got), 0)
        assert sum(account.delivered.values()) == len(bench.sent)


async def test_what_nobody_is_there_to_be_sent_again_waits_and_is_counted_at_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", keeps=1 << 20, unread=True), Peer("b", down="refused")
    async with delivering(a, b) as bench:
        bench.put(*SENDERS)
        await trio.sleep(0.5)
        a.become(down="reset")
        await trio.sleep(0.1)
        account = bench.channel.account
        assert (account.replayed, account.in_doubt) == (0, 0)
    assert account.in_doubt == len(SENDERS)


async def test_a_refused_message_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Peer("a", deaf=True), Peer("b")
    async with delivering(a, b) as bench:
        letters = with_letters(bench.channel)
        await trio.sleep(1)
        bench.put(*SENDERS)
        await trio.sleep(1)
        a.become(refuses="too odd")
        await trio.sleep(0.1)
        a.become(deaf=False)
        await trio.sleep(1)
        assert bench.channel.account.dropped[Drop.REFUSED] == 1
        assert refused_by(letters) == ["a"]
        assert bench.sent - set(a.got) - set(b.got) == {a.lent[0]}


async def test_a_message_that_deliveries_fail_on_is_found_and_costs_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peers = [Peer(name, poison=b"7") for name in "ab"]
    async with delivering(*peers) as bench:
        await trio.sleep(1)
        for _ in range(10):
            bench.put("192.0.2.1", "192.0.2.9")
        await trio.sleep(300)
        assert bench.channel.account.dropped[Drop.INTERNAL_ERROR] == 2
        got = {row for it in peers for row in it.got}
        assert bench.sent - got == {("192.0.2.1", 7), ("192.0.2.9", 7)}


async def test_a_bug_of_one_without_messages_in_hand_disturbs_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", buggy=True), Peer("b", deaf=True)
    async with delivering(a, b) as bench:
        bench.put(*SENDERS)
        await trio.sleep(100)
        account = bench.channel.account
        assert account.restarts > 5
        assert (account.dropped[Drop.INTERNAL_ERROR], account.retried, b.attempts) == (0, 0, 1)


def changes(chance: random.Random) -> dict[str, object]:
    if chance.random() < 0.4:
        return {"down": "", "deaf": False, "silent": False}
    return chance.choice([{"down": "reset"}, {"deaf": True}, {"silent": True}, {"refuses": "odd"}])


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_nothing_is_lost_and_order_is_kept(
    autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    chance = random.Random(seed)
    keeps = chance.choice((0, 0, 50))
    peers = [
        Peer(name, pause=chance.choice((0.0, 0.0001, 0.01)), keeps=keeps, unread=bool(keeps))
        for name in "abc"
    ]
    senders = SENDERS[: chance.choice((1, 3, 40))]
    async with delivering(*peers) as bench:
        for _ in range(150):
            bench.put(*chance.choices(senders, k=chance.choice((1, 3, 50))))
            await trio.sleep(chance.choice((0.0, 0.01, 1.0)))
            check(bench.channel)
            if chance.random() < 0.2:
                chance.choice(peers).become(**changes(chance))
        for peer in peers:
            peer.become(down="", deaf=False, silent=False, refuses="")
        with trio.fail_after(1000):
            await bench.channel.empty()
        account = bench.channel.account
        got = Counter(row for it in peers for row in it.got)
        assert len(bench.sent - got.keys()) == account.dropped[Drop.REFUSED]
        assert sum(account.delivered.values()) == len(bench.sent) - account.dropped[Drop.REFUSED]
        assert got.total() - len(got) <= account.retried + account.replayed
        for peer in peers:
            once = [row for row in peer.got if got[row] == 1]
            assert in_order(once)
            if not keeps and not account.retried:
                assert in_order(peer.got)


# -- tiers and weights: RFC 2782

TIERS = [Rank(0), Rank(0), Rank(10)]


def names(peers: Sequence[Peer]) -> str:
    """Of those that have got something since the last look."""
    found = "".join(it.name for it in peers if it.got)
    for it in peers:
        it.got.clear()
    return found


async def test_those_of_a_higher_tier_wait_until_none_of_a_lower_one_can_be_relied_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peers = [Peer("a"), Peer("b"), Peer("c")]
    a, b, c = peers
    async with delivering(*peers, ranks=TIERS) as bench:
        await trio.sleep(1)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert names(peers) == "ab"
        a.become(down="reset")
        await trio.sleep(1)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert names(peers) == "b"
        assert c.attempts == 0
        b.become(down="reset")
        await trio.sleep(1)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert names(peers) == "c"
        a.become(down="")
        await trio.sleep(20)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert names(peers) == "ac"  # until it is seen that it lasts
        await trio.sleep(KEYS.return_after + CLOSE)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert names(peers) == "a"
        await trio.sleep(60)
        assert c.attempts == 1
        assert c.name not in {it.name for it, place in zip(peers, bench.places, strict=True)
                              if place.share}  # fmt: skip


async def test_what_a_higher_tier_has_in_hand_when_it_is_done_without_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b", deaf=True)
    async with delivering(a, b, ranks=[Rank(1), Rank(2)]) as bench:
        await trio.sleep(1)
        bench.put(*SENDERS)
        await trio.sleep(1)
        assert len(b.lent) == len(SENDERS)
        a.become(down="")
        await trio.sleep(KEYS.return_after + 20)
        assert set(a.got) == bench.sent
        assert in_order(a.got)
        assert bench.channel.account.retried == len(SENDERS)
        assert bench.channel.is_empty


async def test_a_stalled_tier_is_none_to_rely_on(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Peer("a"), Peer("b")
    async with delivering(a, b, ranks=[Rank(1), Rank(2)]) as bench:
        await trio.sleep(1)
        a.become(silent=True)
        bench.put(*SENDERS)
        await trio.sleep(KEYS.stalled_max + 3 * CLOSE)
        assert set(b.got) == bench.sent
        assert in_order(b.got)


async def test_the_work_of_a_tier_is_shared_by_weight(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peers = [Peer("a"), Peer("b")]
    senders = [f"10.0.{n // 250}.{n % 250}" for n in range(2000)]
    async with delivering(*peers, ranks=[Rank(0, 30.0), Rank(0, 10.0)]) as bench:
        await trio.sleep(1)
        bench.put(*senders)
        await trio.sleep(1)
        bench.put(*senders)
        await trio.sleep(1)
        assert set(peers[0].got) | set(peers[1].got) == bench.sent
        share = len(peers[1].got) / len(bench.sent)
        assert 0.2 < share < 0.3
