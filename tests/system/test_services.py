"""SRV records from a real name server."""

from collections.abc import Iterator

import dns.rcode
import dns.resolver
import pytest
import trio

from relay.system import services
from relay.system.net import SystemNetwork
from relay.system.ports import Service, Unreachable
from relay.system.services import look_up_services
from tests.system.name_server import NameServer, name_server

NAME = "_syslog._tcp.example.net"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with name_server(monkeypatch) as running:
        yield running


async def test_all_records_and_how_long_they_are_valid(server: NameServer) -> None:
    server.records[NAME] = ["10 5 601 a.example.net.", "20 0 602 b.example.net."]
    server.ttl = 30
    found, seconds = await SystemNetwork(trio.CapacityLimiter(1)).services(NAME)
    assert sorted(found, key=lambda it: it.priority) == [
        Service(10, 5, 601, "a.example.net"),
        Service(20, 0, 602, "b.example.net"),
    ]
    assert seconds == 30
    assert server.asked == [NAME]


def test_many_records_are_all_there(server: NameServer) -> None:
    server.records[NAME] = [f"10 5 601 host-{n}.example.net." for n in range(25)]
    assert len(look_up_services(NAME)[0]) == 25


@pytest.mark.parametrize(
    ("records", "rcode", "why"),
    [
        ({}, dns.rcode.NOERROR, "there is no such name"),
        ({NAME: []}, dns.rcode.NOERROR, "there is no SRV record"),
        ({NAME: ["0 0 0 ."]}, dns.rcode.NOERROR, "the domain does not offer this service"),
        ({}, dns.rcode.SERVFAIL, "no name server has an answer"),
        ({}, dns.rcode.REFUSED, "no name server has an answer"),
    ],
)
def test_without_an_answer_the_reason_is_told(
    server: NameServer, records: dict[str, list[str]], rcode: dns.rcode.Rcode, why: str
) -> None:
    server.records.update(records)
    server.rcode = rcode
    with pytest.raises(Unreachable, match=f"^{NAME}: {why}$"):
        look_up_services(NAME)


def test_a_silent_server_is_not_waited_for_long(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "LOOK_UP_SECONDS_MAX", 0.2)
    server.silent = True
    with pytest.raises(Unreachable, match=r"no name server answers within 0\.2 s$"):
        look_up_services(NAME)


def test_a_name_that_can_be_none_is_unreachable(server: NameServer) -> None:
    with pytest.raises(Unreachable, match="label"):
        look_up_services(f"_syslog._tcp.{'x' * 64}.net")


def test_a_host_without_name_servers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unconfigured() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration("no nameservers")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(dns.resolver, "Resolver", unconfigured)
    with pytest.raises(Unreachable, match="no nameservers"):
        look_up_services(NAME)
