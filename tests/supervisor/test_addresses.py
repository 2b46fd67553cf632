"""The addresses of a destination as members of its pipe, while they come and go."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from trio_typing import TaskStatus

from relay.config.model import DESTINATIONS_MAX
from relay.core.account import Confirmation
from relay.core.backlog import SpoolMode
from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.delivery import Poison
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.sharing import Sharing, StrategyName
from relay.supervisor.addresses import VALID_SECONDS_MAX, Addresses
from relay.supervisor.several import Member, Several
from relay.system.ports import Service
from tests.core.parts import RECEIVED_NS, check, make_channel, make_outlet
from tests.destinations.fakes import FakeNetwork

EVERY = 60.0
PLAIN = "siem.example.net:514"
SERVICE = "srv:_syslog._tcp.example.net"
SENDERS = [f"192.0.2.{n}" for n in range(20)]


@dataclass(slots=True, eq=False)
class Collector:
    """A destination that notes who has taken what, in the order in which it was settled."""

    address: str
    down: set[str] = field(default_factory=set)  # addresses that cannot be reached
    got: list[tuple[str, str, int]] = field(default_factory=list)  # ip, sender, number
    sessions: list[str] = field(default_factory=list)
    goodbye: float = 0.0
    deaf: bool = False  # settles nothing
    up: dict[str, int] = field(default_factory=dict)
    type: str = "tcp"
    stamp: bool = False
    spool: SpoolMode = "never"
    descriptors: int = 2

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        assert outlet.candidate is not None
        ip = outlet.candidate.ip
        await trio.sleep(0.01)
        if ip in self.down:
            raise DestinationDown("refused")
        task_status.started()
        self.sessions.append(ip)
        self.up[ip] = self.up.get(ip, 0) + 1
        assert self.up[ip] == 1, "two sessions of one address at a time"
        try:
            while ip not in self.down:
                for batch in await lease.lend():
                    await self._take(ip, batch, lease)
            raise DestinationDown("reset")
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.goodbye)
            self.up[ip] -= 1

    async def _take(self, ip: str, batch: Batch, lease: Lease) -> None:
        for message, sender in zip(batch.messages, batch.senders, strict=True):
            await trio.sleep(0.001)
            while self.deaf:
                await trio.sleep(1)
            self.got.append((ip, sender, int(message)))
            lease.settle(1, Confirmation.ACKED)


@dataclass(slots=True, eq=False)
class Stage:
    """A pipe whose destination has addresses."""

    collector: Collector
    network: FakeNetwork
    channel: Channel
    several: Several
    addresses: Addresses
    numbers: dict[str, int] = field(default_factory=dict)

    def put(self, *senders: str) -> None:
        messages = []
        for sender in senders:
            number = self.numbers.get(sender, 0)
            messages.append(b"%d" % number)
            self.numbers[sender] = number + 1
        self.channel.put(Batch.of(messages, senders, "net", RECEIVED_NS))
        check(self.channel)

    def stand_for(self, *ips: str) -> None:
        """What the name resolves to, from the next time on."""
        self.network.addresses = [(ip, 514) for ip in ips]
        self.network.hosts = {PLAIN: self.network.addresses}

    def members(self) -> dict[str, str]:
        """Addresses by the names that they are shown under, in order."""
        healths = self.channel.account.healths.values()
        shown = {it.destination: it.address for it in healths if it.configured}
        order = [name for name in self.several._running if name in shown]
        return {name: shown[name].partition(" ")[2].removesuffix(":514") for name in order}

    @property
    def active(self) -> str:
        account = self.channel.account
        return " ".join(self.members()[it.destination] for it in account.healths.values()
                        if it.configured and it.active)  # fmt: skip

    def check_all_arrived_in_order(self) -> None:
        """Balance may send again what was settled behind something that was not."""
        assert self.channel.is_empty
        last: dict[str, int] = {}
        again = 0
        for _, sender, number in self.collector.got:  # of all destinations together
            assert number <= last.get(sender, -1) + 1
            again += number <= last.get(sender, -1)
            last[sender] = max(number, last.get(sender, -1))
        assert {it: number + 1 for it, number in last.items()} == self.numbers
        account = self.channel.account
        assert sum(account.delivered.values()) == sum(self.numbers.values())
        assert again == len(self.collector.got) - sum(self.numbers.values())
        assert again <= account.retried
        if self.addresses.sharing.strategy == "failover":
            assert again == 0
        assert (sum(account.dropped.values()), account.residual()) == (0, 0)


@asynccontextmanager
async def running(
    strategy: StrategyName = "failover", address: str = PLAIN, *ips: str
) -> AsyncIterator[Stage]:
    channel, network, collector = make_channel(), FakeNetwork(), Collector(address)
    sharing = Sharing(strategy, 30.0, 60.0, EVERY)
    outlet = make_outlet(channel)._replace(destination="siem")
    host = outlet.host._replace(network=network)
    channel.account.configure(["siem"])
    several = Several(channel, sharing, (), Poison(), lambda _: None)
    whole = Member(collector, outlet._replace(host=host))
    addresses = Addresses(whole, sharing, several, lambda: host)
    stage = Stage(collector, network, channel, several, addresses)
    stage.stand_for(*ips)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(several.run, 5.0)
        nursery.start_soon(addresses.run)
        yield stage
        check(channel)
        nursery.cancel_scope.cancel()
    check(channel)


def services(*rows: tuple[str, int, int]) -> list[Service]:
    return [Service(priority, weight, 514, target) for target, priority, weight in rows]


async def test_each_address_is_a_member_and_the_first_has_the_messages(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running("failover", PLAIN, "10.0.0.1", "10.0.0.2") as stage:
        await trio.sleep(1)
        assert stage.members() == {"siem/1": "10.0.0.1", "siem/2": "10.0.0.2"}
        stage.put(*SENDERS)
        await trio.sleep(1)
        assert {ip for ip, _, _ in stage.collector.got} == {"10.0.0.1"}
        stage.collector.down.add("10.0.0.1")
        stage.put(*SENDERS)
        await trio.sleep(5)
        stage.put(*SENDERS)
        await trio.sleep(5)
        assert stage.active == "10.0.0.2"
        stage.collector.down.clear()
        await trio.sleep(100)
        assert stage.active == "10.0.0.1"
        stage.check_all_arrived_in_order()


async def test_in_another_order_they_are_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with running("failover", PLAIN, "10.0.0.1", "10.0.0.2", "10.0.0.3") as stage:
        await trio.sleep(1)
        before = stage.members()
        stage.stand_for("10.0.0.3", "10.0.0.1", "10.0.0.2")
        await trio.sleep(EVERY)
        assert stage.members() == before
        assert stage.collector.sessions == ["10.0.0.1"]


@pytest.mark.parametrize("strategy", ["failover", "balance"])
async def test_one_that_has_gone_is_ended_and_its_name_is_free(
    autojump_clock: trio.testing.MockClock,
    strategy: StrategyName,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "relay")
    async with running(strategy, PLAIN, "10.0.0.1", "10.0.0.2") as stage:
        stage.collector.goodbye = 0.5
        await trio.sleep(1)
        stage.collector.deaf = True
        stage.put(*SENDERS)
        await trio.sleep(1)
        lent = stage.channel.held().lent
        assert lent == len(SENDERS)
        stage.stand_for("10.0.0.2", "10.0.0.3")
        await trio.sleep(EVERY)
        stage.collector.deaf = False
        assert stage.members() == {"siem/2": "10.0.0.2", "siem/1": "10.0.0.3"}
        await trio.sleep(5)
        stage.check_all_arrived_in_order()
        assert "10.0.0.1" not in {ip for ip, _, _ in stage.collector.got}
        assert 0 < stage.channel.account.retried <= lent
    assert "pipe pipe has siem/1 no more: siem.example.net 10.0.0.1:514" in caplog.text
    assert "pipe pipe has siem/1: siem.example.net 10.0.0.3:514" in caplog.text


async def test_while_the_name_does_not_resolve_nothing_changes(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running("balance", PLAIN, "10.0.0.1", "10.0.0.2") as stage:
        await trio.sleep(1)
        before = stage.members()
        stage.stand_for()
        await trio.sleep(5 * EVERY)
        assert stage.members() == before
        assert stage.channel.account.resolve_failures == 5
        assert sorted(stage.collector.sessions) == ["10.0.0.1", "10.0.0.2"]
        assert stage.channel.account.up
    [told] = [it.getMessage() for it in caplog.records]
    assert told == (
        "pipe pipe cannot look up all addresses of siem: "
        "siem.example.net: Name or service not known"
    )


async def test_before_the_first_answer_the_destination_is_down_and_is_tried_with_pauses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running("failover") as stage:
        stage.put(*SENDERS)
        await trio.sleep(10)
        account = stage.channel.account
        assert 3 <= account.resolve_failures <= 5  # after 1, 2, 4 s
        assert account.down_reason == "siem.example.net: Name or service not known"
        assert not account.up
        stage.stand_for("10.0.0.1")
        await trio.sleep(10)
        assert account.up
        assert account.down_reason == ""
        stage.check_all_arrived_in_order()


async def test_of_a_service_the_priorities_are_tiers_and_a_lost_host_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running("balance", SERVICE) as stage:
        stage.network.records = services(("b", 20, 0), ("a", 10, 0), ("c", 10, 0))
        stage.network.hosts = {f"{it}:514": [(f"10.0.0.{n}", 514)] for n, it in enumerate("abc")}
        await trio.sleep(5)
        assert [*stage.members().values()][2] == "10.0.0.1"
        assert sorted(stage.collector.sessions) == ["10.0.0.0", "10.0.0.2"]
        before = stage.members()
        stage.network.hosts["a:514"] = []
        await trio.sleep(EVERY)
        assert stage.members() == before
        stage.collector.down |= {"10.0.0.0", "10.0.0.2"}
        stage.put(*SENDERS)
        await trio.sleep(20)
        assert {ip for ip, _, _ in stage.collector.got} <= {"10.0.0.0", "10.0.0.2", "10.0.0.1"}
        stage.check_all_arrived_in_order()


async def test_another_weight_disturbs_no_session(autojump_clock: trio.testing.MockClock) -> None:
    async with running("balance", SERVICE) as stage:
        stage.network.hosts = {f"{it}:514": [(f"10.0.0.{n}", 514)] for n, it in enumerate("ab")}
        stage.network.records = services(("a", 1, 10), ("b", 1, 10))
        await trio.sleep(5)
        senders = [f"10.9.{n // 250}.{n % 250}" for n in range(1000)]
        stage.put(*senders)
        await trio.sleep(10)
        stage.network.records = services(("a", 1, 90), ("b", 1, 10))
        await trio.sleep(EVERY)
        stage.collector.got.clear()
        stage.numbers.clear()
        stage.put(*senders)
        await trio.sleep(10)
        assert sorted(stage.collector.sessions) == ["10.0.0.0", "10.0.0.1"]
        part = sum(ip == "10.0.0.0" for ip, _, _ in stage.collector.got) / len(senders)
        assert 0.8 < part < 0.97


@pytest.mark.parametrize(
    ("seconds", "pause"), [(0.0, EVERY), (5.0, EVERY), (300.0, 300.0), (1e6, VALID_SECONDS_MAX)]
)
async def test_records_are_used_as_long_as_the_dns_says(
    autojump_clock: trio.testing.MockClock, seconds: float, pause: float
) -> None:
    async with running("failover", SERVICE) as stage:
        stage.network.seconds = seconds
        stage.network.records = services(("a", 1, 0))
        stage.network.hosts = {"a:514": [("10.0.0.1", 514)]}
        await trio.sleep(3)
        stage.network.hosts = {"a:514": [("10.0.0.2", 514)]}
        await trio.sleep(pause - 5)
        assert [*stage.members().values()] == ["10.0.0.1"]
        await trio.sleep(10)
        assert [*stage.members().values()] == ["10.0.0.2"]


async def test_of_too_many_those_that_are_members_stay(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ips = [f"10.0.0.{n}" for n in range(40)]
    async with running("failover", PLAIN, *ips) as stage:
        await trio.sleep(1)
        before = stage.members()
        assert [*before.values()] == ips[:DESTINATIONS_MAX]
        stage.stand_for(*reversed(ips))
        await trio.sleep(3 * EVERY)
        assert stage.members() == before
        assert len(stage.channel.account.healths) == DESTINATIONS_MAX + 1
    told = [it.getMessage() for it in caplog.records]
    assert told == [f"pipe pipe takes {DESTINATIONS_MAX} of the 40 addresses of siem"]


async def test_however_often_addresses_change_the_names_are_few(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running("balance", PLAIN, "10.0.0.1") as stage:
        for n in range(200):
            stage.stand_for(f"10.1.{n}.1", f"10.1.{n}.2")
            stage.put(*SENDERS)
            await trio.sleep(EVERY)
        assert len(stage.channel.account.healths) <= 5
        await trio.sleep(5)
        stage.check_all_arrived_in_order()


async def test_a_reload_of_its_keys_looks_the_name_up_and_disturbs_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running("failover", PLAIN, "10.0.0.1") as stage:
        await trio.sleep(1)
        stage.stand_for("10.0.0.1", "10.0.0.2")
        stage.addresses.change(Sharing("failover", 5.0, 60.0, 10.0))
        await trio.sleep(1)
        assert [*stage.members().values()] == ["10.0.0.1", "10.0.0.2"]
        assert stage.collector.sessions == ["10.0.0.1"]
        stage.stand_for("10.0.0.1")
        await trio.sleep(10)
        assert [*stage.members().values()] == ["10.0.0.1"]


IPS = [f"10.0.0.{n}" for n in range(6)]


@pytest.mark.parametrize("strategy", ["failover", "balance"])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_becomes_of_addresses_and_peers_nothing_is_missing_and_order_is_kept(
    autojump_clock: trio.testing.MockClock, seed: int, strategy: StrategyName
) -> None:
    """Addresses come and go, change their tiers, do not resolve, break and stop reading."""
    chance = random.Random(seed)
    address = chance.choice([PLAIN, SERVICE])
    async with running(strategy, address, *IPS[:2]) as stage:
        stage.collector.goodbye = chance.choice([0.0, 0.3])

        def move() -> None:
            ips = chance.sample(IPS, chance.choice([1, 2, 3, 6]))
            if address == PLAIN:
                stage.stand_for(*(() if chance.random() < 0.2 else ips))
                return
            stage.network.records = services(
                *((f"h{ip[-1]}", chance.choice([1, 1, 2]), chance.choice([0, 1, 5])) for ip in ips)
            )
            stage.network.hosts = {
                f"h{ip[-1]}:514": [(ip, 514)] if chance.random() < 0.9 else [] for ip in IPS
            }
            if chance.random() < 0.1:
                stage.network.records = []

        def break_() -> None:
            stage.collector.down = set(chance.sample(IPS, chance.choice([0, 0, 1, 3, 6])))

        def deafen() -> None:
            stage.collector.deaf = not stage.collector.deaf

        acts: Sequence[object] = [move, move, break_, deafen]
        for _ in range(60):
            act = chance.choice(acts)
            assert callable(act)
            act()
            for _ in range(chance.choice([1, 5, 20])):
                stage.put(*chance.sample(SENDERS, chance.choice([1, 2, 20])))
                await trio.sleep(chance.choice([0.0, 0.005, 2.0]))
            if chance.random() < 0.5:
                await trio.sleep(EVERY)
            check(stage.channel)
        stage.collector.deaf = False
        stage.collector.down.clear()
        stage.stand_for(*IPS[:3])
        stage.network.records = services(("h0", 1, 1), ("h1", 1, 2))
        stage.network.hosts |= {"h0:514": [(IPS[0], 514)], "h1:514": [(IPS[1], 514)]}
        await trio.sleep(1000)
        stage.check_all_arrived_in_order()
