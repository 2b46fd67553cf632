import logging
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.ledger import Ledger
from relay.core.match import Match
from relay.core.memory import Memory, cost
from relay.core.pipe import Pipe
from relay.core.receipt import Receipt
from relay.core.router import Router
from tests.core.parts import WIDE, check, contents, make_batch, numbered

TIGHT = Bounds(1, 1 << 30, "block")


class Rig:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.memory = Memory(1 << 31)
        self.router = Router(self.ledger)
        self.pipes: dict[str, Pipe] = {}

    def pipe(self, name: str, *match: Match, bounds: Bounds = WIDE) -> Pipe:
        channel = Channel(self.ledger.pipe(name, "sink"), bounds, self.memory)
        self.pipes[name] = Pipe(name, match, channel)
        return self.pipes[name]

    def feed(self, **routes: Sequence[Pipe]) -> None:
        self.router.routes = routes

    def check(self) -> None:
        assert self.ledger.residual() == 0
        for pipe in self.pipes.values():
            check(pipe.channel)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_batch_goes_to_every_pipe_that_its_listener_feeds(rig: Rig) -> None:
    first, second, other = rig.pipe("first"), rig.pipe("second"), rig.pipe("other")
    rig.feed(net=[first, second], edge=[other])
    rig.router.put(numbered(0, 3))
    rig.check()
    assert contents(first.channel) == contents(second.channel) == [0, 1, 2]
    assert contents(other.channel) == []
    account = rig.ledger.listener("net")
    assert (account.accepted, account.offered, account.unrouted) == (3, 6, 0)


@pytest.mark.parametrize("routes", [{}, {"edge": []}, {"net": []}])
def test_what_no_pipe_takes_is_unrouted(rig: Rig, routes: dict[str, list[Pipe]]) -> None:
    rig.router.routes = routes
    rig.router.put(numbered(0, 3))
    account = rig.ledger.listener("net")
    assert (account.accepted, account.offered, account.unrouted) == (3, 0, 3)
    rig.check()


@pytest.mark.parametrize(
    ("texts", "unrouted"),
    [
        (["0"], 3),
        (["0", "1"], 2),
        (["0", "0"], 3),
        (["0", "1", "2", "3"], 0),
        (["0", None], 0),
        ([None, "0"], 0),
        (["9"], 4),
    ],
)
def test_unrouted_is_what_none_of_the_pipes_takes(
    rig: Rig, texts: list[str | None], unrouted: int
) -> None:
    rig.feed(
        net=[
            rig.pipe(f"pipe {n}", *([Match(contains=text)] if text else []))
            for n, text in enumerate(texts)
        ]
    )
    rig.router.put(numbered(0, 4))
    rig.check()
    assert rig.ledger.listener("net").unrouted == unrouted
    for pipe, text in zip(rig.pipes.values(), texts, strict=True):
        taken = [n for n in range(4) if text is None or text == str(n)]
        assert contents(pipe.channel) == taken
        assert pipe.account.filtered == 4 - len(taken)


class Broken(Receipt):
    """A bug between the books: the message is received and not yet held."""

    def owe(self) -> None:
        raise ZeroDivisionError


class Faulty(Pipe):
    def put(self, batch: Batch, views: object, *, full: bool | None = None) -> Sequence[int] | None:
        raise ZeroDivisionError


@pytest.mark.parametrize("notice", [False, True])
@pytest.mark.parametrize("where", ["filter", "channel", "channel, behind a filter"])
def test_a_bug_in_one_pipe_costs_the_others_nothing_and_is_booked(
    rig: Rig, where: str, notice: bool, caplog: pytest.LogCaptureFixture
) -> None:
    match = [Match(contains=["0", "1"])] if "behind" in where else []
    bad = rig.pipe("bad", *match, bounds=Bounds(9, 1 << 30, "block"))
    if where == "filter":
        bad = Faulty("bad", (), bad.channel)
    good = rig.pipe("good")
    rig.feed(net=[bad, good])
    rig.router.put(
        make_batch(b"0", b"1", b"2", receipt=Broken(lambda: None, lambda: None), notice=notice)
    )
    rig.check()
    lost = 2 if match else 3
    assert contents(good.channel) == [0, 1, 2]
    assert bad.account.dropped[Drop.INTERNAL_ERROR] == lost
    assert bad.account.filtered == 3 - lost
    assert bad.account.restarts == 1
    assert rig.ledger.losses.untold == (0 if notice else lost)
    [record] = caplog.records
    assert record.getMessage() == f"pipe bad: {lost} messages dropped by a bug"
    assert record.exc_info
    assert record.levelno == logging.ERROR
    rig.router.put(numbered(3, 4) if where != "filter" else numbered(3, 5))
    rig.check()


@pytest.mark.parametrize("keeps", [False, True])
async def test_a_sender_hears_no_yes_for_what_a_bug_has_cost_a_pipe_that_keeps(
    rig: Rig, keeps: bool
) -> None:
    heard: list[str] = []
    bounds = Bounds(9, 1 << 30, "block" if keeps else "drop-newest")
    bad = Faulty("bad", (), rig.pipe("bad", bounds=bounds).channel)
    good = rig.pipe("good", bounds=Bounds(9, 1 << 30, "block"))
    rig.feed(net=[bad, good])
    receipt = Receipt(lambda: heard.append("yes"), lambda: heard.append("broken"))
    rig.router.put(make_batch(b"0", b"1", receipt=receipt))
    receipt.pay()
    assert heard == (["broken"] if keeps else [])
    with good.channel.lease() as lease:
        await lease.lend()
        lease.settle(2, Confirmation.SENT)
    assert heard == (["broken"] if keeps else ["yes"])


async def test_room_that_is_there_is_found_without_a_checkpoint(rig: Rig) -> None:
    rig.feed(net=[rig.pipe("tight", bounds=TIGHT), rig.pipe("wide")])
    with trio.testing.assert_no_checkpoints():
        await rig.router.room("net")
        await rig.router.room("unknown")


async def test_a_listener_waits_for_all_pipes_that_must_not_drop(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    tight = [rig.pipe(name, bounds=TIGHT) for name in ("a", "b")]
    dropping = rig.pipe("c", bounds=Bounds(1, 1 << 30))
    rig.feed(net=[*tight, dropping], other=[dropping])
    rig.router.put(numbered(0, 1))
    with trio.testing.assert_no_checkpoints():
        await rig.router.room("other")
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.router.room, "net")
            await trio.testing.wait_all_tasks_blocked()
            tight[0].channel.drop_all(Drop.REMOVED)
            await trio.testing.wait_all_tasks_blocked()
            tight[0].channel.put(numbered(1, 2))  # meanwhile full again
            tight[1].channel.drop_all(Drop.REMOVED)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            tight[0].channel.drop_all(Drop.REMOVED)


async def test_who_waits_for_a_pipe_is_let_go_when_it_is_fed_no_longer(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    dead, alive, full = (
        rig.pipe("dead", bounds=TIGHT),
        rig.pipe("alive"),
        rig.pipe("full", bounds=TIGHT),
    )
    rig.feed(net=[dead])
    rig.router.put(numbered(0, 1))
    full.channel.put(numbered(0, 1))
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.router.room, "net")
            await trio.testing.wait_all_tasks_blocked()
            rig.feed(net=[alive, full])
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks, "the new ones are asked for room, too"
            rig.feed(net=[alive])


async def test_room_that_was_seen_is_not_taken_by_another_pipe(rig: Rig) -> None:
    """The first pipe takes the last of the shared memory; the second one may not drop."""
    rig.memory.resize(cost(20, 0))
    patient = Bounds(1000, 1 << 30, "block")
    greedy, blocking = rig.pipe("greedy"), rig.pipe("blocking", bounds=patient)
    rig.feed(net=[greedy, blocking], other=[blocking])
    for _ in range(5):
        rig.router.put(make_batch(b"", listener="other"))
    await rig.router.room("net")
    rig.router.put(make_batch(*[b""] * 15))
    rig.check()
    assert blocking.account.held().memory == 20
    assert sum(blocking.account.dropped.values()) == 0
    assert blocking.channel.blocked


async def test_cancelled_room_takes_nothing(rig: Rig) -> None:
    tight = rig.pipe("tight", bounds=TIGHT)
    rig.feed(net=[tight])
    rig.router.put(numbered(0, 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.router.room, "net")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    rig.feed(net=[])  # nobody is left to be told
    rig.check()
