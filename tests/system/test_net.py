import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system.net import EpollReadySet, SystemNetwork
from relay.system.ports import Endpoint, Network, Unreachable
from tests.system.conftest import OpenAcceptor, OpenReceiver


@pytest.fixture
async def network() -> SystemNetwork:
    return SystemNetwork(trio.CapacityLimiter(2))


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def full(closing: ExitStack) -> tuple[str, int]:
    """A port whose backlog is full, so that a SYN gets no answer."""
    listening = closing.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    address: tuple[str, int] = listening.getsockname()
    closing.enter_context(socket.create_connection(address))
    return address


async def test_it_is_a_network(network: SystemNetwork) -> None:
    it: Network = network
    ready_set = it.ready_set()
    assert isinstance(ready_set, EpollReadySet)
    ready_set.close()


async def test_numbers_resolve_without_a_thread() -> None:
    limiter = trio.CapacityLimiter(1)
    network = SystemNetwork(limiter)
    async with limiter:  # no token is left
        assert await network.resolve("127.0.0.1:514", kind="udp") == [("127.0.0.1", 514)]
        assert await network.resolve("[::1]:514", kind="tcp") == [("::1", 514)]
        assert await network.resolve("[fe80::1%1]:514", kind="tcp") == [("fe80::1%1", 514)]


async def test_a_name_resolves_in_a_thread(network: SystemNetwork) -> None:
    assert ("127.0.0.1", 514) in await network.resolve("localhost:514", kind="tcp")


@pytest.mark.parametrize("address", ["name.invalid:514", "x" * 64 + ":514", "no-port"])
async def test_what_does_not_resolve_is_unreachable(address: str, network: SystemNetwork) -> None:
    with pytest.raises(Unreachable):
        await network.resolve(address, kind="tcp")


async def test_a_cancelled_look_up_is_abandoned(
    network: SystemNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def hang(host: str, *args: object, **options: object) -> object:
        if host == "hangs.invalid" and options["flags"] != socket.AI_NUMERICHOST:
            entered.set()
            gate.wait(20)
        return real(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resolve_hanging, network)
        await trio.to_thread.run_sync(entered.wait)
        nursery.cancel_scope.cancel()
    assert network.limiter.borrowed_tokens == 1  # it hangs still, and takes nobody else's place
    gate.set()


async def resolve_hanging(network: SystemNetwork) -> None:
    await network.resolve("hangs.invalid:514", kind="tcp")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_connection_has_no_delay_and_is_kept_alive(
    host: str, network: SystemNetwork, open_acceptor: OpenAcceptor
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", f"[{host}]:0"))
    connection = await network.connect((host, port_of(acceptor.address)))
    assert connection.peer == host
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert not os.get_blocking(same.fileno())
    accepted = acceptor.accept()
    assert accepted is not None
    accepted.close()
    connection.close()


async def test_a_refused_connection_is_unreachable_and_leaves_no_descriptor(
    network: SystemNetwork, open_acceptor: OpenAcceptor
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    acceptor.close()
    before = descriptors()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+: Connection refused"):
        await network.connect(("127.0.0.1", port_of(acceptor.address)))
    assert descriptors() == before


async def test_a_connection_to_oneself_is_unreachable(
    network: SystemNetwork, closing: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel picks the port tried as our own one time in 28,000; here at the first."""

    class Bound(socket.socket):
        def connect_ex(self, address: tuple[str, int]) -> int:  # type: ignore[override]
            self.bind(address)
            return super().connect_ex(address)

    with socket.create_server(("127.0.0.1", 0)) as once:
        address = once.getsockname()
    monkeypatch.setattr(socket, "socket", Bound)
    with pytest.raises(Unreachable, match="refused"):
        await network.connect(address)


async def test_no_answer_is_unreachable_in_time_and_leaves_no_descriptor(
    full: tuple[str, int], autojump_clock: trio.testing.MockClock, network: SystemNetwork
) -> None:
    before = descriptors()
    start = trio.current_time()
    with pytest.raises(Unreachable, match="no answer within 10 s"):
        await network.connect(full)
    assert trio.current_time() - start == 10
    assert descriptors() == before


async def test_a_cancelled_connect_leaves_no_descriptor(
    full: tuple[str, int], network: SystemNetwork
) -> None:
    before = descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.connect, full)
        await trio.testing.wait_all_tasks_blocked()
        assert len(descriptors()) == len(before) + 1
        nursery.cancel_scope.cancel()
    assert descriptors() == before


async def test_a_udp_socket_is_connected(
    network: SystemNetwork, open_receiver: OpenReceiver
) -> None:
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    sender = await network.connect_datagram(("127.0.0.1", port_of(receiver.address)))
    assert sender.send(b"message")
    assert receiver.receive(10, 1000) == ([b"message"], ["127.0.0.1"])
    sender.close()


async def test_no_way_for_datagrams_is_unreachable(network: SystemNetwork) -> None:
    before = descriptors()
    with pytest.raises(Unreachable, match="255"):  # a broadcast address, which we may not send to
        await network.connect_datagram(("255.255.255.255", 514))
    with pytest.raises(Unreachable, match="localhost"):
        await network.connect_datagram(("localhost", 514))
    assert descriptors() == before


async def test_unix_destinations_are_connected(
    network: SystemNetwork,
    tmp_path: Path,
    open_receiver: OpenReceiver,
    open_acceptor: OpenAcceptor,
) -> None:
    receiver = open_receiver(Endpoint("unix-datagram", str(tmp_path / "datagram")))
    acceptor = open_acceptor(Endpoint("unix-stream", str(tmp_path / "stream")))
    sender = await network.connect_unix_datagram(receiver.address)
    assert sender.send(b"message")
    assert receiver.receive(10, 1000) == ([b"message"], ["local"])
    connection = await network.connect_unix(acceptor.address)
    assert connection.peer == "local"
    sender.close()
    connection.close()


async def test_unix_destinations_that_are_not_there_are_unreachable(
    network: SystemNetwork, tmp_path: Path
) -> None:
    before = descriptors()
    with pytest.raises(Unreachable, match="log: No such file"):
        await network.connect_unix(str(tmp_path / "log"))
    with pytest.raises(Unreachable, match="log: No such file"):
        await network.connect_unix_datagram(str(tmp_path / "log"))
    with pytest.raises(Unreachable, match="too long"):
        await network.connect_unix("x" * 200)
    assert descriptors() == before
