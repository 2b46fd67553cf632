"""A relay whose destination is a service, over real sockets, while its SRV records change."""

import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from relay.core.account import PipeAccount
from tests.supervisor.conftest import BASE, Bench
from tests.system.name_server import NameServer, name_server

SERVICE = "_syslog._tcp.example.net"
PIPE = """
[destinations.siem]
type = "tcp"
address = "srv:_syslog._tcp.example.net"
replay = 0
[pipes.all]
from = "net"
to = "siem"
each_address = true
resolve_every = "1s"
return_after = "1s"
overflow = "block"
spool = "never"
"""
TEXT = BASE.partition("[destinations.ring]")[0] + PIPE
BALANCE = TEXT + 'strategy = "balance"\n'
SENDERS = 6
ROUNDS = 4


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with name_server(monkeypatch) as server:
        server.ttl = 0
        yield server


@dataclass(slots=True, eq=False)
class Collector:
    """Reads octet-counted messages; which it got, by sender, in order."""

    port: int
    got: list[tuple[str, int]] = field(default_factory=list)
    connections: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        rest = b""
        async for data in stream:
            rest += data
            while (space := rest.find(b" ")) > 0 and len(rest) > space + int(rest[:space]):
                end = space + 1 + int(rest[:space])
                _, sender, number = rest[space + 1 : end].rsplit(b" ", 2)
                self.got.append((sender.decode(), int(number)))
                rest = rest[end:]


@asynccontextmanager
async def collecting(count: int) -> AsyncIterator[list[Collector]]:
    collectors = []
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            collector = Collector(listener.socket.getsockname()[1])
            nursery.start_soon(trio.serve_listeners, collector.serve, [listener])
            collectors.append(collector)
        yield collectors
        nursery.cancel_scope.cancel()


def record(collector: Collector, priority: int = 0, weight: int = 1) -> str:
    """Its target is a number: what a host is called is the affair of the resolver."""
    return f"{priority} {weight} {collector.port} 127.0.0.1."


def addresses(account: PipeAccount) -> set[int]:
    """The ports of the members."""
    healths = [it for it in account.healths.values() if it.configured and it.address]
    return {int(it.address.rpartition(":")[2]) for it in healths}


@pytest.mark.parametrize("text", [TEXT, BALANCE], ids=["failover", "balance"])
async def test_members_come_and_go_under_load_and_nothing_is_missing(
    bench: Bench, names: NameServer, text: str
) -> None:
    """Six senders send all the time; the records change again and again, and fail at times.

    Everything arrives; each sender's messages are in order in each collector but for what was sent
    again, of which there is no more than counted; and the books are exact at every look.
    """
    chance = random.Random(7)
    async with collecting(4) as collectors:
        names.records[SERVICE] = [record(it) for it in collectors[:2]]
        async with bench.running(text) as relay, trio.open_nursery() as nursery:
            account = relay.ledger.pipes["all"]
            await bench.until(lambda: account.up)
            over, sent = trio.Event(), Counter[str]()
            for n in range(SENDERS):
                nursery.start_soon(send, bench, f"s{n}", sent, over)
            for _ in range(ROUNDS):
                chosen = chance.sample(collectors, chance.choice([1, 2, 3]))
                names.records[SERVICE] = [
                    record(it, chance.choice([0, 0, 1]), chance.choice([0, 1, 5])) for it in chosen
                ]
                ports = {it.port for it in chosen}
                await bench.until(lambda ports=ports: addresses(account) == ports)
                await trio.sleep(chance.uniform(0.1, 0.5))
                failures, records = account.resolve_failures, names.records.pop(SERVICE)
                await bench.until(lambda count=failures: account.resolve_failures > count)
                assert addresses(account) == ports
                names.records[SERVICE] = records
            over.set()
            await bench.until(
                lambda: account.received == sent.total() and not account.held().messages
            )
            await bench.until(
                lambda: (
                    {row for it in collectors for row in it.got}
                    == {(name, n) for name, count in sent.items() for n in range(count)}
                )
            )
        got = sum(len(it.got) for it in collectors)
        assert sum(account.delivered.values()) == sent.total() > 1000
        assert got - sent.total() <= account.retried + account.replayed
        assert (sum(account.dropped.values()), account.in_doubt) == (0, 0)
        if account.retried + account.replayed == 0:
            assert all(in_order(it.got) for it in collectors)
        assert len(account.healths) <= 5


async def send(bench: Bench, name: str, sent: Counter[str], over: trio.Event) -> None:
    source = (f"127.0.2.{int(name[1:]) + 1}", 0)
    with socket.create_connection(bench.address("net"), 5, source) as sock:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        while not over.is_set():
            lines = [f"<13>Nov 23 07:45:25 web01 app: {name} {n}\n"
                     for n in range(sent[name], sent[name] + 10)]  # fmt: skip
            sent[name] += len(lines)
            await stream.send_all("".join(lines).encode())
            await trio.sleep(0.01)


def in_order(rows: list[tuple[str, int]]) -> bool:
    last: dict[str, int] = {}
    for sender, n in rows:
        if n <= last.get(sender, -1):
            return False
        last[sender] = n
    return True


async def test_without_the_key_the_first_that_is_reached_has_all(
    bench: Bench, names: NameServer
) -> None:
    text = TEXT.replace("each_address = true\n", "").replace('resolve_every = "1s"\n', "")
    async with collecting(2) as [first, second]:
        names.records[SERVICE] = [record(first, 10), record(second, 20)]
        async with bench.running(text) as relay:
            account = relay.ledger.pipes["all"]
            await bench.until(lambda: account.up)
            assert relay.pipes["all"].several is None
            assert (first.connections, second.connections) == (1, 0)


async def test_a_reload_goes_from_one_to_each_and_back_and_keeps_what_did_not_change(
    bench: Bench, names: NameServer
) -> None:
    one = TEXT.replace("each_address = true\n", "")
    async with collecting(2) as collectors:
        names.records[SERVICE] = [record(it) for it in collectors]
        async with bench.running(one) as relay:
            account = relay.ledger.pipes["all"]
            await bench.until(lambda: account.up)
            await bench.reload(BALANCE)
            await bench.until(lambda: sum(it.up for it in account.healths.values()) == 2)
            assert [it.destination for it in account.healths.values() if it.configured] == [
                "siem/1", "siem/2",
            ]  # fmt: skip
            before = relay.pipes["all"], account.connections
            await bench.reload(BALANCE.replace("return_after", "messages = 1000\nreturn_after"))
            await bench.reload(BALANCE.replace('every = "1s"', 'every = "2s"'))
            await bench.reload(BALANCE)
            assert (relay.pipes["all"], account.connections) == before
            assert [it.destination for it in account.healths.values() if it.configured] == [
                "siem/1", "siem/2",
            ]  # fmt: skip
            await bench.reload(one)
            await bench.until(lambda: account.health("siem").up)
            assert [it.destination for it in account.healths.values() if it.configured] == ["siem"]
            assert not any(it.active for name, it in account.healths.items() if "/" in name)


async def test_a_look_up_that_hangs_holds_up_no_stop(bench: Bench, names: NameServer) -> None:
    names.silent = True
    async with bench.running(TEXT) as relay:
        await bench.until(lambda: names.asked)
        assert not relay.ledger.pipes["all"].up
        began = trio.current_time()
    assert trio.current_time() - began < 3
