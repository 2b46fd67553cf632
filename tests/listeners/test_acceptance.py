"""Accepting when it cannot be: put off, told once, and begun again by itself."""

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from relay.core.account import ConnectionRefusal
from relay.core.intake import Intake
from relay.core.rate import SENDERS_MAX, Buckets, Limit
from relay.core.streams import Stream
from relay.listeners.acceptance import (
    DEFER_SECONDS,
    QUIET_SECONDS,
    TURN_CONNECTIONS,
    Acceptance,
)
from relay.listeners.limits import Limits
from relay.system.ports import Acceptor
from relay.wire.framing import Framer, Framing, FramingCounts
from tests.listeners.conftest import Rig


@dataclass(slots=True, eq=False)
class FakeConnection:
    """Somebody has connected."""

    peer: str = "192.0.2.1"
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass(slots=True, eq=False)
class FakeAcceptor:
    """Fails with the error that is set, else yields who is waiting."""

    error: int = 0
    waiting: list[FakeConnection] = field(default_factory=list)
    asked: int = 0

    def accept(self) -> FakeConnection | None:
        self.asked += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self.waiting.pop(0) if self.waiting else None


@dataclass(slots=True, eq=False)
class FakeReadySet:
    members: set[object] = field(default_factory=set)

    def add(self, source: object, *, writable: bool = False) -> None:
        self.members.add(source)

    def discard(self, source: object) -> None:
        self.members.discard(source)

    def ready(self) -> Sequence[object]:
        return list(self.members)


@dataclass(slots=True, eq=False)
class Door:
    """One listener's acceptance, of one acceptor."""

    acceptor: FakeAcceptor
    ready_set: FakeReadySet
    acceptance: Acceptance
    intake: Intake

    @property
    def streams(self) -> Sequence[Stream]:
        return list(self.intake.streams.table.values())

    def accept(self, now: float) -> int:
        return self.acceptance.accept(cast(Acceptor, self.acceptor), now)


async def door(
    framing: Framing = "lf",
    connections_max: int = 100,
    per_address_max: int | None = None,
    accept_rate: float | None = None,
    ipv6_prefix: int = 64,
) -> Door:
    rig = Rig()
    rig.own.attach()
    intake = Intake(
        listener=f"net-{framing}", host=rig.machine.host("edge"), router=rig.router,
        account=rig.ledger.listener("in"), message_max=8192,
    )  # fmt: skip
    acceptor, ready_set = FakeAcceptor(), FakeReadySet()
    acceptance = Acceptance(
        [cast(Acceptor, acceptor)],
        intake,
        Limits(
            1 << 20,
            connections_max,
            per_address_max=per_address_max,
            ipv6_prefix=ipv6_prefix,
            accepts=Buckets(accepts) if (accepts := Limit.of(accept_rate, None)) else None,
        ),
        ready_set,  # type: ignore[arg-type]
        lambda: Framer(framing, 8192, 1 << 20, FramingCounts()),
    )
    return Door(acceptor, ready_set, acceptance, intake)


@pytest.mark.parametrize(
    "error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM]
)
async def test_accepting_is_put_off_for_a_second_whatever_the_error(
    error: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    it = await door()
    it.acceptor.error = error
    it.acceptor.waiting = [FakeConnection(), FakeConnection()]
    assert it.accept(0.0) == 0
    assert it.acceptor not in it.ready_set.members  # epoll would say that it is ready, without end
    it.acceptance.resume(DEFER_SECONDS - 0.01)
    assert it.acceptor not in it.ready_set.members
    it.acceptance.resume(DEFER_SECONDS)
    assert it.acceptor in it.ready_set.members
    it.acceptor.error = 0
    assert it.accept(DEFER_SECONDS) == 2
    assert len(it.streams) == 2
    assert it.intake.account.accept_deferred == 1
    assert caplog.messages == [f"listener net-lf: accept deferred: {os.strerror(error)}"]


async def test_an_episode_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Clients come and go: sometimes there is a descriptor, most of the time there is none."""
    caplog.set_level(logging.INFO)
    it = await door()
    now = 0.0
    for _ in range(30):
        it.acceptor.error = errno.EMFILE
        it.accept(now)
        now += DEFER_SECONDS
        it.acceptance.resume(now)
        it.acceptor.error = 0
        it.acceptor.waiting = [FakeConnection()]
        assert it.accept(now) == 1
    assert caplog.messages == ["listener net-lf: accept deferred: Too many open files"]
    it.acceptance.resume(now - DEFER_SECONDS + QUIET_SECONDS)
    assert caplog.messages[1:] == [
        "listener net-lf: accepting as before, after it was deferred 30 times in 29.0 s"
    ]
    it.acceptor.error = errno.EMFILE
    it.accept(now + 60)
    assert len(caplog.messages) == 3
    assert it.intake.account.accept_deferred == 31


async def test_a_deferred_acceptor_stays_what_it_is() -> None:
    """Two listeners are out of descriptors at the same moment: each has its own senders after.

    OpenBSD's syslogd has taken TLS listeners up again as plain ones.
    """
    doors = [await door("octet"), await door("lf")]
    for it in doors:
        it.acceptor.error = errno.EMFILE
        it.accept(0.0)
    for it in doors:
        it.acceptor.error = 0
        it.acceptor.waiting = [FakeConnection()]
        it.acceptance.resume(DEFER_SECONDS)
        assert it.accept(DEFER_SECONDS) == 1
    octet, lf = ([s.framer.feed(b"3 abc\n4 defg") for s in it.streams] for it in doors)
    assert octet == [[b"abc", b"defg"]]
    assert lf == [[b"3 abc"]]


async def test_connections_beyond_the_limit_are_closed_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = await door(connections_max=2)
    clients = [FakeConnection() for _ in range(5)]
    it.acceptor.waiting = list(clients)
    it.accept(0.0)
    assert [client.closed for client in clients] == [False, False, True, True, True]
    assert caplog.messages == ["listener net-lf has 2 connections, refuses more"]
    refused = it.intake.account.connections_refused
    assert sum(refused.values()) == 3
    [stream, _] = it.streams
    it.intake.streams.remove(stream)
    it.acceptor.waiting = [FakeConnection(), FakeConnection()]
    it.accept(1.0)
    assert len(caplog.messages) == 1  # there was room meanwhile: whoever hangs up makes some
    it.acceptor.waiting = [FakeConnection()]
    it.accept(1.0 + QUIET_SECONDS)
    assert len(caplog.messages) == 2


async def test_no_address_has_more_than_its_connections(caplog: pytest.LogCaptureFixture) -> None:
    it = await door(connections_max=10, per_address_max=2)
    greedy = [FakeConnection("192.0.2.1") for _ in range(5)]
    other = FakeConnection("192.0.2.2")
    it.acceptor.waiting = [*greedy, other]
    it.accept(0.0)
    assert [client.closed for client in greedy] == [False, False, True, True, True]
    assert not other.closed
    refused = it.intake.account.connections_refused
    assert refused[ConnectionRefusal.CONNECTIONS_PER_ADDRESS_MAX] == 3
    assert caplog.messages == [
        "listener net-lf: connection from 192.0.2.1 refused: 2 from there are open"
    ]
    it.intake.streams.remove(it.streams[0])
    it.acceptor.waiting = [FakeConnection("192.0.2.1"), FakeConnection("192.0.2.1")]
    it.accept(1.0)
    assert it.intake.streams.addresses == {"192.0.2.1": 2, "192.0.2.2": 1}


async def test_an_ipv6_network_is_one_address(caplog: pytest.LogCaptureFixture) -> None:
    """A single host has 2^64 addresses, and takes another one whenever it wants."""
    it = await door(connections_max=100, per_address_max=3, accept_rate=5.0)
    greedy = [FakeConnection(f"2001:db8::{number:x}") for number in range(100)]
    other = FakeConnection("2001:db8:0:1::1")
    it.acceptor.waiting = [*greedy, other]
    for _ in range(2):
        it.accept(0.0)
    assert sum(not client.closed for client in greedy) == 3
    assert not other.closed
    refused = it.intake.account.connections_refused
    assert refused[ConnectionRefusal.CONNECTIONS_PER_ADDRESS_MAX] == 2
    assert refused[ConnectionRefusal.ACCEPT_RATE] == 95
    assert caplog.messages == [
        "listener net-lf: connection from 2001:db8::/64 refused: 3 from there are open",
        "listener net-lf: connection from 2001:db8::/64 refused: above accept_rate",
    ]


async def test_hosts_of_one_ipv6_network_can_be_told_apart() -> None:
    """As the key says, and link-local ones anyhow: those of a link have one network."""
    for network, prefix in (("2001:db8", 128), ("fe80", 64)):
        it = await door(per_address_max=1, ipv6_prefix=prefix)
        it.acceptor.waiting = [FakeConnection(f"{network}::{n}") for n in (1, 2, 2, 3)]
        it.accept(0.0)
        assert sorted(it.intake.streams.addresses) == [f"{network}::{n}" for n in (1, 2, 3)]


async def test_who_connects_too_often_is_refused_alone(caplog: pytest.LogCaptureFixture) -> None:
    it = await door(accept_rate=2.0)
    restless = [FakeConnection("192.0.2.1") for _ in range(5)]
    it.acceptor.waiting = [*restless, FakeConnection("192.0.2.2")]
    it.accept(0.0)
    assert [client.closed for client in restless] == [False, False, True, True, True]
    assert len(it.streams) == 3
    assert it.intake.account.connections_refused[ConnectionRefusal.ACCEPT_RATE] == 3
    assert caplog.messages == [
        "listener net-lf: connection from 192.0.2.1 refused: above accept_rate"
    ]
    it.acceptor.waiting = [FakeConnection("192.0.2.1") for _ in range(5)]
    it.accept(0.5)
    assert len(it.streams) == 4


async def test_a_storm_of_connects_leaves_time_for_data() -> None:
    it = await door(connections_max=10_000)
    it.acceptor.waiting = [FakeConnection() for _ in range(1000)]
    assert it.accept(0.0) == TURN_CONNECTIONS
    assert len(it.acceptor.waiting) == 1000 - TURN_CONNECTIONS


async def test_what_is_kept_of_addresses_is_bounded() -> None:
    """Forged they cannot be, but a site may have many IPv6 networks."""
    it = await door(connections_max=100, per_address_max=2, accept_rate=1.0)
    for number in range(70_000):
        it.acceptor.waiting = [FakeConnection(f"2001:db8:{number >> 8:x}:{number & 255:x}::1")]
        it.accept(float(number))
        if number >= 50:
            it.intake.streams.remove(it.streams[0])
    assert len(it.intake.streams.addresses) == 50
    accepts = it.acceptance.limits.accepts
    assert accepts is not None
    assert len(accepts) == SENDERS_MAX
