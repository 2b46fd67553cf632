"""A resolver that hangs or fails holds up nobody, and opening a socket asks none."""

import socket
import threading
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from relay.system.address import SocketAddress
from relay.system.listen_names import LOOK_UP_SECONDS_MAX, ListenNames
from relay.system.machine import SystemMachine
from relay.system.ports import Endpoint

TCP = socket.SOCK_STREAM
EDGE = Endpoint("tcp", "edge.test:0")


class Resolver:
    """Knows `edge.test`, in the address that is set; hangs while the gate is closed."""

    def __init__(self) -> None:
        self.address: str | None = "127.0.0.1"
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self._real = socket.getaddrinfo

    def getaddrinfo(
        self, host: str, port: int, *, flags: int, **kind: int
    ) -> list[tuple[int, int, int, str, SocketAddress]]:
        if host == "edge.test" and not flags & socket.AI_NUMERICHOST:
            self.asked.append(host)
            self.threads.add(threading.get_ident())
            self.gate.wait(20)
            if self.address is None:
                raise socket.gaierror(socket.EAI_NONAME, "not known")
            host = self.address
        return self._real(host, port, flags=flags, **kind)  # type: ignore[return-value]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.gate.set()


async def test_names_are_looked_up_in_threads_only(resolver: Resolver) -> None:
    machine = SystemMachine()
    await machine.prepare([EDGE])
    [acceptor] = machine.open(EDGE)
    assert acceptor.address.startswith("127.0.0.1:")
    assert len(resolver.asked) == 1
    assert threading.get_ident() not in resolver.threads
    acceptor.close()


async def test_numbers_ask_nobody_and_do_not_wait(resolver: Resolver) -> None:
    names = ListenNames(trio.CapacityLimiter(1))
    async with names.limiter:  # no token is left
        await names.look_up(
            Endpoint(kind, address)  # type: ignore[arg-type]
            for kind, address in [
                ("udp", "127.0.0.1:514"), ("tcp", "[::1]:514"), ("tcp", "*:514"), ("tcp", "fd:x"),
                ("unix-stream", "a/edge.test:5"), ("udp", "nonsense"),
            ]
        )  # fmt: skip
    assert names.find("127.0.0.1", 514, TCP) == [(socket.AF_INET, ("127.0.0.1", 514))]
    assert resolver.asked == []


async def test_a_name_that_was_not_looked_up_is_refused_inside_trio(resolver: Resolver) -> None:
    with pytest.raises(OSError, match=r"tcp edge\.test:0: 'edge\.test' was not looked up yet"):
        SystemMachine().open(EDGE)
    assert resolver.asked == []


def test_before_trio_runs_nobody_is_asked(resolver: Resolver) -> None:
    """A resolver that hangs must not hold the start, at which all other addresses are bound."""
    with pytest.raises(OSError, match="was not looked up yet"):
        SystemMachine().open(EDGE)
    assert resolver.asked == []


async def test_what_does_not_resolve_is_told_when_it_is_opened_and_tried_again(
    resolver: Resolver,
) -> None:
    machine = SystemMachine()
    resolver.address = None
    for _ in range(2):
        await machine.prepare([EDGE])
        with pytest.raises(OSError, match=r"tcp edge\.test:0: not known"):
            machine.open(EDGE)
    resolver.address = "127.0.0.1"
    await machine.prepare([EDGE])
    machine.open(EDGE)[0].close()


async def test_the_name_of_an_open_socket_is_not_looked_up_again(resolver: Resolver) -> None:
    machine = SystemMachine()
    await machine.prepare([EDGE])
    [acceptor] = machine.open(EDGE)
    await machine.prepare([EDGE])
    assert len(resolver.asked) == 1
    acceptor.close()
    resolver.address = "127.0.0.2"
    await machine.prepare([EDGE])
    [acceptor] = machine.open(EDGE)
    assert acceptor.address.startswith("127.0.0.2:")
    acceptor.close()


async def test_a_resolver_that_hangs_is_left_alone(
    resolver: Resolver, autojump_clock: trio.testing.MockClock
) -> None:
    machine = SystemMachine()
    resolver.gate.clear()
    # The clock jumps only while nothing runs, a thread's start included.
    began = trio.current_time()
    await machine.prepare([EDGE, Endpoint("tcp", "127.0.0.1:0")])
    assert trio.current_time() - began == LOOK_UP_SECONDS_MAX
    machine.open(Endpoint("tcp", "127.0.0.1:0"))[0].close()
    with pytest.raises(OSError, match="no answer from the resolver within 5 s"):
        machine.open(EDGE)


async def test_a_cancelled_look_up_is_abandoned(resolver: Resolver) -> None:
    names = ListenNames()
    resolver.gate.clear()
    with trio.move_on_after(0.01) as scope:
        await names.look_up([EDGE])
    assert scope.cancelled_caught
    assert names.limiter.borrowed_tokens == 1  # it hangs still, and takes nobody else's place
