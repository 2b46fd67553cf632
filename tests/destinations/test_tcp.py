import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from pydantic import ValidationError

from relay.destinations.tcp import TcpDestination
from relay.wire.frames import OutFraming
from relay.wire.framing import Framer, FramingCounts
from tests.destinations.conftest import MakeRig


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[trio.SocketListener, str]]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield listener, f"127.0.0.1:{listener.socket.getsockname()[1]}"


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("framing", ["octet", "lf", "nul"])
async def test_messages_arrive_on_a_real_connection(framing: OutFraming, make_rig: MakeRig) -> None:
    messages = [b"<13>message %d" % n for n in range(5000)]
    rig = make_rig()
    async with listening() as (listener, address):
        async with rig.delivering(TcpDestination(type="tcp", address=address, framing=framing)):
            rig.put(*messages)
            stream = await listener.accept()
            await rig.delivered()
        received = b"".join([data async for data in stream])
        await stream.aclose()
    framer = Framer(framing, 1 << 16, 1 << 20, FramingCounts())
    assert framer.feed(received) + framer.close() == messages


@pytest.mark.usefixtures("short_pauses")
async def test_restarts_of_the_receiver_never_continue_a_cut_frame(make_rig: MakeRig) -> None:
    """A receiver ends connection after connection in the middle of frames longer than its buffer.

    It reads what was sent before the end, as a good one does, so every message arrives.
    """
    messages = [b"<13>%d %s" % (n, b"x" * 60_000) for n in range(150)]
    counts = FramingCounts()
    received: list[bytes] = []
    rig = make_rig()
    async with listening() as (listener, address):
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        rig.put(*messages)
        async with rig.delivering(TcpDestination(type="tcp", address=address)):
            with trio.fail_after(30):
                while len(received) < len(messages):
                    stream = await listener.accept()
                    framer = Framer("octet", 1 << 20, 1 << 20, counts)
                    octets = 0
                    ended = False
                    async for data in stream:
                        received += framer.feed(bytes(data))
                        octets += len(data)
                        if octets > 700_000 and not ended:
                            await stream.send_eof()
                            ended = True
                        if len(received) == len(messages):
                            break
                    received += framer.close()
                    await stream.aclose()
    assert received == messages
    assert counts.incomplete > 0
    assert counts.line == 0, "no frame went on in the middle"
    assert rig.account.connections > 1
    assert rig.acked() == len(messages)


@pytest.mark.usefixtures("short_pauses")
async def test_refused_connection_is_down_until_somebody_listens(make_rig: MakeRig) -> None:
    async with listening() as (_, address):
        pass
    rig = make_rig()
    rig.put(b"<13>hello")
    async with rig.delivering(TcpDestination(type="tcp", address=address)):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == f"{address}: connection refused"
        host, port = address.split(":")
        [listener] = await trio.open_tcp_listeners(int(port), host=host)
        async with listener, await listener.accept() as stream:
            await rig.delivered()
            assert await stream.receive_some() == b"9 <13>hello"


async def test_name_is_resolved_by_the_system(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.put(b"<13>hello")
    async with listening() as (listener, address):
        by_name = address.replace("127.0.0.1", "localhost")
        destination = TcpDestination(type="tcp", address=by_name)
        async with rig.delivering(destination), await listener.accept() as stream:
            assert await stream.receive_some() == b"9 <13>hello"
            await rig.delivered()


async def receive_all(listener: trio.SocketListener, received: list[bytes], messages: int) -> None:
    """An ordinary receiver: reads each connection to its end and then ends it."""
    while len(received) < messages:
        async with await listener.accept() as stream:
            framer = Framer("octet", 1 << 20, 1 << 20, FramingCounts())
            async for data in stream:
                received += framer.feed(bytes(data))


async def test_epochs_are_confirmed_by_an_ordinary_receiver(make_rig: MakeRig) -> None:
    messages = [b"<13>message %d" % n for n in range(20_000)]
    received: list[bytes] = []
    rig = make_rig()
    async with listening() as (listener, address), trio.open_nursery() as nursery:
        nursery.start_soon(receive_all, listener, received, len(messages))
        destination = TcpDestination(
            type="tcp", address=address, confirm="epoch", epoch_bytes=32 << 10, epoch_max=0.1
        )
        async with rig.delivering(destination):
            for start in range(0, len(messages), 100):
                rig.put(*messages[start : start + 100])
            await rig.delivered()
            assert rig.account.up
        nursery.cancel_scope.cancel()
    assert received == messages
    assert rig.confirmed() == len(messages)
    assert rig.account.epochs > 5
    assert rig.account.connections == 1
    assert rig.account.retried == 0


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("half_close", [False, True])
async def test_a_peer_that_ends_its_side_early_and_reads_on(
    half_close: bool, make_rig: MakeRig
) -> None:
    """It loses nothing either way; with `half_close` it is let do so on one connection."""
    messages = [b"<13>message %d" % n for n in range(2000)]
    received: list[bytes] = []
    rig = make_rig()

    async def end_and_receive(stream: trio.SocketStream) -> None:
        framer = Framer("octet", 1 << 20, 1 << 20, FramingCounts())
        async with stream:
            received.extend(framer.feed(bytes(await stream.receive_some())))
            await stream.send_eof()
            async for data in stream:
                received.extend(framer.feed(bytes(data)))

    async with listening() as (listener, address), trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, end_and_receive, [listener])
        destination = TcpDestination(type="tcp", address=address, half_close=half_close)
        async with rig.delivering(destination):
            for start in range(0, len(messages), 100):
                rig.put(*messages[start : start + 100])
                await trio.sleep(0.001)
            await rig.delivered()
            with trio.fail_after(10):
                while len(received) < len(messages):
                    await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert sorted(received) == sorted(messages)
    assert (rig.account.connections == 1) == half_close
    assert rig.account.in_doubt == rig.account.replayed == 0


def test_a_peer_that_may_end_early_cannot_confirm_epochs() -> None:
    with pytest.raises(ValidationError, match="a peer that ends before us cannot confirm"):
        TcpDestination(type="tcp", address="[::1]:514", confirm="epoch", half_close=True)
