"""A pipe with several destinations: start, reload, stop."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.testing
from trio_typing import TaskStatus

from relay.core.account import PipeAccount
from relay.core.backlog import SpoolMode
from relay.core.delivery import Poison
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.sharing import Sharing, StrategyName
from relay.supervisor.several import Member, Several
from relay.system.machine import SystemMachine
from tests.core.parts import make_channel, make_outlet
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"
RINGS = '[destinations]\na = { type = "memory" }\nb = { type = "memory" }\nc = { type = "memory" }'


def several(to: str, more: str = "") -> str:
    text = BASE.replace('[destinations.ring]\ntype = "memory"', RINGS)
    return text.replace('to = "ring"', f"to = {to}\n{more}")


BALANCE = 'strategy = "balance"'


@contextmanager
def connected(bench: Bench) -> Iterator[socket.socket]:
    with socket.create_connection(bench.address("net")) as sock:
        yield sock


def connections(account: PipeAccount) -> dict[str, int]:
    return {it.destination: it.connections for it in account.healths.values()}


def active(account: PipeAccount) -> list[str]:
    return [it.destination for it in account.healths.values() if it.active]


async def test_a_list_of_one_is_the_name(bench: Bench) -> None:
    async with bench.running(several('["a"]')) as relay:
        before = relay.pipes["all"]
        await bench.reload(several('"a"'))
        assert relay.pipes["all"] is before
        assert before.sharing is None


@pytest.mark.parametrize("strategy", ["", BALANCE])
async def test_members_are_added_and_removed_without_a_break_of_the_others(
    bench: Bench, strategy: str
) -> None:
    async with bench.running(several('["a", "b"]', strategy)) as relay:
        account = relay.ledger.pipes["all"]
        with connected(bench) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: account.up and not account.held().messages)
            before = relay.pipes["all"]
            await bench.reload(several('["a", "c"]', strategy))
            sock.sendall(LINE % 2)
            await bench.until(lambda: account.received == 2 and not account.held().messages)
            assert relay.pipes["all"] is before
            assert connections(account)["a"] == 1
            assert account.health("b").configured is False
            await bench.reload(several('["b", "a"]', strategy))
            await bench.until(lambda: account.health("b").up)
            sock.sendall(LINE % 3)
            await bench.until(lambda: account.received == 3 and not account.held().messages)
            assert connections(account)["a"] == 1
            assert not account.health("c").active
        rings = [*bench.ring("a"), *bench.ring("b"), *bench.ring("c")]
        assert sorted(rings) == [b"1", b"2", b"3"]
        assert (account.retried, account.failures) == (0, 0)


@dataclass(slots=True, eq=False)
class Parting:
    """A destination that takes its time to say goodbye."""

    type: str = "parting"
    stamp: bool = False
    spool: SpoolMode = "never"
    descriptors: int = 2
    running: int = 0
    most: int = 0

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        task_status.started()
        try:
            await lease.lend()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            self.running -= 1


@pytest.mark.parametrize("strategy", ["failover", "balance"])
async def test_a_removed_member_that_is_back_waits_for_its_own_goodbye(
    autojump_clock: trio.testing.MockClock, strategy: StrategyName
) -> None:
    channel = make_channel()
    sharing = Sharing(strategy, 30.0, 60.0)
    first, second, third = (
        Member(Parting(), make_outlet(channel)._replace(destination=name)) for name in "abc"
    )
    channel.account.configure("abc")
    several = Several(channel, sharing, [first, second, third], Poison(), lambda host: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(several.run, 5.0)
        await trio.sleep(0.5)
        several.arrange([second, third], sharing)
        await trio.sleep(0.5)
        several.arrange([first, second, third], sharing)
        await trio.sleep(5)
        assert isinstance(first.destination, Parting)
        assert (first.destination.running, first.destination.most) == (1, 1)
        assert channel.account.health("a").up
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("strategy", ["", BALANCE])
async def test_a_changed_member_is_another_one(bench: Bench, strategy: str) -> None:
    text = several('["a", "b"]', strategy)
    async with bench.running(text) as relay:
        account = relay.ledger.pipes["all"]
        await bench.until(lambda: account.up)
        await bench.reload(text.replace('a = { type = "memory" }', 'a = { type = "stdout" }'))
        if strategy:
            await bench.until(lambda: connections(account) == {"a": 2, "b": 1})
        else:
            await bench.until(lambda: account.health("b").up or account.health("a").up)
        with connected(bench) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: sum(account.delivered.values()) == 1)


async def test_the_removed_one_s_messages_go_to_the_next(bench: Bench) -> None:
    text = several('["a", "b"]')
    away = text.replace('a = { type = "memory" }', 'a = { type = "tcp", address = "127.0.0.1:@" }')
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        away = away.replace("@", str(deaf.getsockname()[1]))
        async with bench.running(away) as relay:
            account = relay.ledger.pipes["all"]
            await bench.until(lambda: account.up)
            assert active(account) == ["a"]
            with connected(bench) as sock:
                sock.sendall(LINE % 1)
                await bench.until(lambda: sum(account.delivered.values()) == 1)
                deaf.accept()[0].close()
                await bench.until(lambda: active(account) == ["b"])
                await bench.reload(away.replace('["a", "b"]', '["b"]'))
                sock.sendall(LINE % 2)
                await bench.until(lambda: b"2" in bench.ring("b"))
                assert relay.pipes["all"].sharing is None
                assert active(account) == ["b"]


async def test_from_one_strategy_to_the_other_and_to_a_single_one(bench: Bench) -> None:
    async with bench.running(several('["a", "b"]')) as relay:
        account = relay.ledger.pipes["all"]
        with connected(bench) as sock:
            put = 0
            for text in (
                several('["a", "b"]', BALANCE),
                several('"b"'),
                several('["c", "a"]', BALANCE),
                several('["c", "a"]'),
                several('["b", "c"]', 'return_after = "1s"'),
                several('["b", "c"]', 'return_after = "2s"'),
            ):
                for _ in range(3):
                    sock.sendall(LINE % put)
                    put += 1
                await bench.reload(text)
                await bench.until(lambda: account.up)
            await bench.until(lambda: sum(account.delivered.values()) == put)
        rings = [*bench.ring("a"), *bench.ring("b"), *bench.ring("c")]
        assert len(rings) <= put  # rings that are no longer configured are gone
        assert (account.in_doubt, sum(account.dropped.values())) == (0, 0)


@pytest.mark.parametrize("strategy", ["", BALANCE])
async def test_the_relay_s_name_changes_for_all_members(bench: Bench, strategy: str) -> None:
    text = several('["a", "b"]', strategy)
    async with bench.running(text) as relay:
        await bench.reload(text.replace("edge01", "edge02"))
        names = {it.outlet.host.name for it in relay.pipes["all"].members}
        assert names == {"edge02"}


@pytest.mark.parametrize("strategy", ["", BALANCE])
async def test_a_stop_leaves_what_nobody_takes_in_the_spool(bench: Bench, strategy: str) -> None:
    """Two servers answer nothing; the next process delivers it all elsewhere."""
    text = several('["x", "y"]', strategy).replace('spool = "never"', 'spool = "always"')
    text = text.replace('drain_max = "1s"', 'drain_max = "0.5s"')
    bench.machine = SystemMachine(state_dir=str(bench.directory))
    address = ("127.0.0.1", 0)
    with socket.create_server(address) as one, socket.create_server(address) as two:
        for name, server in (("x", one), ("y", two)):
            port = server.getsockname()[1]
            text = text.replace("[pipes.all]", f'[destinations.{name}]\ntype = "relp"\n'
                                f'address = "127.0.0.1:{port}"\n[pipes.all]', 1)  # fmt: skip
        async with bench.running(text) as relay:
            account = relay.ledger.pipes["all"]
            with connected(bench) as sock:
                sock.sendall(b"".join(LINE % n for n in range(300)))
                await bench.until(lambda: account.received == 300)
        assert account.held().spool == 300
    async with bench.running(text.replace('["x", "y"]', '["a", "b"]')) as relay:
        account = relay.ledger.pipes["all"]
        await bench.until(lambda: sum(account.delivered.values()) == 300)
        assert account.recovered == 300
        assert sorted(bench.ring("a") + bench.ring("b")) == sorted(b"%d" % n for n in range(300))
