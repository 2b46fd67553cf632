"""Several destinations for one channel, one of which has it."""

import logging
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
from relay.core.channel import Channel
from relay.core.delivery import Poison
from relay.core.errors import DestinationDown, DestinationRefused
from relay.core.failover import SETTLE_SECONDS_MAX, Failover, Standing
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.sharing import LOOK_SECONDS, Sharing
from tests.core.parts import check, contents, make_channel, number, numbered
from tests.core.several import delivering_by, refused_by, with_letters

RETURN_AFTER = 30.0
STALLED_MAX = 60.0
KEYS = Sharing("failover", RETURN_AFTER, STALLED_MAX)
CLOSE = LOOK_SECONDS + 0.1


@dataclass(slots=True, eq=False)
class Peer:
    """A destination that does what the test says at this moment; each change wakes it."""

    name: str
    down: str = ""  # why it cannot be reached, or breaks
    refuses: str = ""
    buggy: bool = False
    deaf: bool = False  # takes messages and settles none
    silent: bool = False  # deaf, and shown as stalled
    attempts: int = 0
    got: list[int] = field(default_factory=list)
    type: str = "acting"
    stamp: bool = False
    spool: SpoolMode = "never"
    descriptors: int = 2
    keeps: int = 0
    unread: bool = False  # says that the tail is to come again when it breaks
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
        if self.keeps:
            lease.keep(self.keeps)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take, lease)
                while not (self.down or self.buggy or self.refuses):
                    outlet.health.stalled = self.silent
                    await self._news.park()
                nursery.cancel_scope.cancel()
        finally:
            if lease.given_up or (self.down and self.unread):
                lease.replay()
        if self.buggy:
            raise ZeroDivisionError
        if refused := self.refuses:
            self.refuses = ""  # only this one
            raise DestinationRefused(refused)
        raise DestinationDown(self.down)

    async def _take(self, lease: Lease) -> None:
        while True:
            batches = await lease.lend()
            while self.deaf or self.silent:
                await self._news.park()
            for batch in batches:
                self.got += [number(message) for message in batch.messages]
                lease.settle(len(batch), Confirmation.ACKED)


@dataclass(slots=True, eq=False)
class Bench:
    channel: Channel
    peers: Sequence[Peer]
    failover: Failover
    standings: list[Standing]
    put: int = 0

    def more(self, messages: int = 1) -> None:
        self.channel.put(numbered(self.put, self.put + messages))
        self.put += messages

    @property
    def active(self) -> str:
        return self.failover.active.health.destination if self.failover.active else ""


@asynccontextmanager
async def delivering(*peers: Peer, channel: Channel | None = None) -> AsyncIterator[Bench]:
    channel = channel or make_channel()
    account = channel.account
    account.configure([it.name for it in peers])
    failover = Failover(channel, KEYS, Poison())
    standings = [failover.seat(account.health(it.name)) for it in peers]
    failover.arrange(standings, KEYS)
    bench = Bench(channel, peers, failover, standings)
    async with delivering_by(failover, channel, standings, peers):
        yield bench


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.getMessage().startswith("pipe ")]


async def test_the_first_has_everything_and_nobody_else_is_reached_for(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay")
    a, b = Peer("a"), Peer("b")
    async with delivering(a, b) as bench:
        bench.more(5)
        await trio.sleep(100)
        bench.more(5)
        await trio.sleep(1)
    assert (a.got, b.got, a.attempts, b.attempts) == ([*range(10)], [], 1, 0)
    health = bench.channel.account.healths
    assert (health["a"].delivered, health["a"].active, health["b"].active) == (10, True, False)
    assert bench.channel.account.failovers == 0
    assert caplog.records == []


async def test_the_next_has_it_at_once_when_the_first_breaks(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay")
    a, b, c = Peer("a", deaf=True), Peer("b"), Peer("c")
    async with delivering(a, b, c) as bench:
        bench.more(5)
        await trio.sleep(1)
        a.become(down="reset")
        await trio.sleep(0.1)
        assert b.got == [0, 1, 2, 3, 4]
        assert bench.active == "b"
        account = bench.channel.account
        assert account.up
        assert not account.down_reason
        assert (account.retried, account.failovers, c.attempts) == (5, 1, 0)
        assert told(caplog) == ["pipe pipe goes over to b: a is down: reset"]


async def test_it_returns_when_the_first_has_been_healthy_for_a_while(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay")
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        bench.more(5)
        await trio.sleep(100)
        a.become(down="")
        began = trio.current_time()
        while bench.active != "a":
            await trio.sleep(0.1)
            bench.more()
            assert trio.current_time() - began < 60 * 1.2 + RETURN_AFTER + CLOSE
        assert trio.current_time() - began > RETURN_AFTER
        attempts = b.attempts
        await trio.sleep(1)
        bench.more()
        await trio.sleep(100)
        assert a.got[-1] == bench.put - 1
        assert b.got + a.got == [*range(bench.put)]
        assert b.attempts == attempts  # it is let go
        account = bench.channel.account
        assert (account.retried, account.failovers) == (0, 2)
        assert account.health("b").failures == 0
    assert told(caplog) == [
        "pipe pipe goes over to b: a is down: refused",
        "pipe pipe returns to a",
    ]


async def test_one_that_is_up_and_down_has_to_be_healthy_without_a_break(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        for _ in range(20):
            a.become(down="")
            await trio.sleep(RETURN_AFTER / 2)
            a.become(down="closed")
            await trio.sleep(1)
            assert bench.active == "b"


async def test_an_idle_connection_that_is_ended_after_a_while_is_nothing_against_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A balancer ends what is idle for a minute, also where a longer time is waited for."""
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(0.5)
        bench.standings[0].patience._waits = 3  # 240 s
        a.become(down="")
        for _ in range(3):
            await trio.sleep(60)
            assert bench.active == "b"
            a.become(down="idle")
            await trio.sleep(0.01)
            a.become(down="")
        await trio.sleep(70)
        assert bench.active == "a"
        assert a.attempts == 1 + 4


async def test_one_that_does_not_last_is_waited_for_twice_as_long_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b")
    waits = []
    async with delivering(a, b) as bench:
        await trio.sleep(1)
        for _ in range(4):
            a.become(down="")
            while not bench.standings[0].up_since:
                await trio.sleep(0.1)
            began = trio.current_time()
            while bench.active != "a":
                await trio.sleep(0.1)
            waits.append(trio.current_time() - began)
            a.become(down="broken")
            await trio.sleep(0.5)
            assert bench.active == "b"
    for wait, nominal in zip(waits, [30, 60, 120, 240], strict=True):
        assert nominal <= wait <= nominal + CLOSE


async def test_a_stalled_one_is_left_after_a_while_if_another_can_be_reached(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay")
    a, b = Peer("a"), Peer("b", down="refused")
    async with delivering(a, b) as bench:
        bench.more(5)
        await trio.sleep(1)
        a.become(silent=True)
        bench.more(5)
        await trio.sleep(STALLED_MAX - 2)
        assert b.attempts == 0
        await trio.sleep(1000)
        assert bench.active == "a"  # nobody else is there
        assert a.attempts == 1
        b.become(down="")
        with trio.fail_after(60 * 1.2 + CLOSE):
            while bench.active != "b":
                await trio.sleep(0.1)
        await trio.sleep(0.1)
        assert b.got == [*range(5, 10)]
        assert told(caplog) == ["pipe pipe goes over to b: a is stalled"]


async def test_one_that_gives_way_is_not_waited_for_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(0.5)
        a.become(down="")
        b.become(deaf=True)
        bench.more(5)
        await trio.sleep(2 + RETURN_AFTER)
        assert bench.active == "b"
        await trio.sleep(SETTLE_SECONDS_MAX + CLOSE)
        assert bench.active == "a"
        assert a.got == [*range(5)]
        assert bench.channel.account.retried == 5


async def test_one_that_gives_way_goes_on_when_the_better_one_breaks_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(0.5)
        a.become(down="")
        b.become(deaf=True)
        bench.more(5)
        while not bench.failover._heir:
            await trio.sleep(0.1)
        bench.more(5)
        a.become(down="closed")
        await trio.sleep(0.1)
        b.become(deaf=False)
        await trio.sleep(CLOSE)
        assert bench.active == "b"
        assert b.got == [*range(10)]
        assert (b.attempts, bench.channel.account.retried) == (1, 0)


async def test_with_all_of_them_down_each_has_a_back_off_of_its_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peers = [Peer(name, down="refused") for name in "abc"]
    async with delivering(*peers) as bench:
        bench.more(3)
        await trio.sleep(5)
        assert [it.attempts for it in peers] == [3, 3, 3]
        account = bench.channel.account
        assert not account.up
        assert account.down_reason == "a: refused; b: refused; c: refused"
        assert contents(bench.channel) == [0, 1, 2]
        peers[2].become(down="")
        await trio.sleep(5)
        assert peers[2].got == [0, 1, 2]


async def test_a_long_pause_ends_when_one_is_wanted_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It was down when it was needed last; that it waits since then is no reason to wait now."""
    a, b = Peer("a", down="refused"), Peer("b", down="refused")
    async with delivering(a, b) as bench:
        await trio.sleep(200)
        a.become(down="")
        await trio.sleep(75)
        assert bench.active == "a"
        b.become(down="")
        while bench.standings[1]._is_wanted:
            await trio.sleep(1)
        a.become(down="broken")
        await trio.sleep(0.1)
        assert bench.active == "b"


async def test_what_the_first_may_not_have_read_is_sent_to_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", keeps=3, unread=True), Peer("b", keeps=3)
    async with delivering(a, b) as bench:
        for _ in range(6):
            bench.more()
        await trio.sleep(1)
        a.become(deaf=True)
        bench.more(2)
        await trio.sleep(1)
        a.become(down="reset")
        await trio.sleep(1)
        assert a.got == [*range(6)]
        assert b.got == [3, 4, 5, 6, 7]
        account = bench.channel.account
        assert (account.replayed, account.retried, account.in_doubt) == (3, 2, 0)
        assert account.health("b").delivered == 2


async def test_what_was_sent_again_does_not_come_a_third_time_from_one_that_keeps_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", keeps=3, unread=True), Peer("b")
    async with delivering(a, b) as bench:
        for _ in range(4):
            bench.more()
        await trio.sleep(1)
        a.become(down="reset")
        await trio.sleep(1)
        assert b.got == [1, 2, 3]
        assert not [*bench.channel.tail]


async def test_a_refused_message_is_dropped_and_no_other_destination_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", deaf=True), Peer("b")
    async with delivering(a, b) as bench:
        letters = with_letters(bench.channel)
        bench.more(2)
        await trio.sleep(1)
        a.become(refuses="too odd")
        await trio.sleep(1)
        assert bench.channel.account.dropped[Drop.REFUSED] == 1
        assert refused_by(letters) == ["a"]
        a.become(refuses="", deaf=False)
        await trio.sleep(1)
        assert a.got == [1]
        assert b.got == []


async def test_a_bug_of_one_that_waits_costs_no_message_of_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        await trio.sleep(0.5)
        b.become(deaf=True)
        bench.more(3)
        a.become(down="", buggy=True)
        await trio.sleep(100)
        account = bench.channel.account
        assert account.restarts > 5
        assert account.dropped[Drop.INTERNAL_ERROR] == 0
        assert (b.attempts, account.retried) == (1, 0)
        b.become(deaf=False)
        await trio.sleep(1)
        assert b.got == [0, 1, 2]


async def test_a_message_that_every_delivery_fails_on_is_refused_in_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Fails(Peer):
        async def _take(self, lease: Lease) -> None:
            while True:
                for batch in await lease.lend():
                    for message in batch.messages:
                        if number(message) == 2:
                            raise ZeroDivisionError
                        self.got.append(number(message))
                        lease.settle(1, Confirmation.ACKED)

    a, b = Fails("a"), Fails("b")
    async with delivering(a, b) as bench:
        letters = with_letters(bench.channel)
        bench.more(5)
        await trio.sleep(200)
        assert sorted(a.got + b.got) == [0, 1, 3, 4]
        assert bench.channel.account.dropped[Drop.INTERNAL_ERROR] == 1
        assert refused_by(letters) == ["a,b"]  # none in particular


async def test_one_is_removed_and_another_added_without_a_break_of_the_third(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = Peer("a", down="refused"), Peer("b")
    async with delivering(a, b) as bench:
        bench.more(2)
        await trio.sleep(1)
        assert bench.active == "b"
        bench.failover.arrange(bench.standings[1:], KEYS)
        bench.more(2)
        await trio.sleep(1)
        assert b.got == [0, 1, 2, 3]
        assert b.attempts == 1
        bench.failover.arrange([bench.standings[1], bench.standings[0]], KEYS)
        await trio.sleep(1)
        assert (b.attempts, bench.active) == (1, "b")


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
    peers = [Peer(name, keeps=keeps, unread=bool(keeps)) for name in "abc"]
    async with delivering(*peers) as bench:
        for _ in range(150):
            bench.more(chance.choice((1, 3, 50)))
            await trio.sleep(chance.choice((0.0, 0.01, 1.0, 20.0)))
            check(bench.channel)
            if chance.random() < 0.3:
                chance.choice(peers).become(**changes(chance))
        for peer in peers:
            peer.become(down="", deaf=False, silent=False, refuses="")
        with trio.fail_after(1000):
            await bench.channel.empty()
        account = bench.channel.account
        got = Counter(n for it in peers for n in it.got)
        refused = account.dropped[Drop.REFUSED]
        assert len(set(range(bench.put)) - got.keys()) == refused
        assert sum(account.delivered.values()) == bench.put - refused
        assert sum(it.delivered for it in account.healths.values()) == bench.put - refused
        assert got.total() - len(got) <= account.retried + account.replayed
        for peer in peers:
            once = [n for n in peer.got if got[n] == 1]
            assert once == sorted(once)


async def test_without_anybody_messages_wait(autojump_clock: trio.testing.MockClock) -> None:
    """No address is known yet."""
    channel = make_channel()
    failover = Failover(channel, KEYS, Poison())
    failover.arrange([], KEYS)
    with trio.move_on_after(5 * LOOK_SECONDS):
        channel.put(numbered(0, 3))
        await failover.run()
    assert contents(channel) == [0, 1, 2]
    assert failover.active is None
