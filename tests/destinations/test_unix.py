import errno
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.core.account import Drop
from relay.destinations.session import STALLED_SECONDS
from relay.destinations.unix import UnixDestination
from tests.destinations.conftest import MakeRig
from tests.destinations.fakes import FakeNetwork, FakeSender

MESSAGES = [b"<13>message %d" % n for n in range(1000)]


async def bound(path: Path) -> trio.socket.SocketType:
    receiver = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM)
    await receiver.bind(str(path))
    return receiver


async def test_datagrams_wait_for_the_receiver(make_rig: MakeRig, tmp_path: Path) -> None:
    """A unix datagram socket never loses: when its queue is full the sender waits."""
    with await bound(tmp_path / "log") as receiver:
        rig = make_rig()
        rig.put(*MESSAGES)
        async with rig.delivering(UnixDestination(type="unix", path=str(tmp_path / "log"))):
            await rig.until(rig.sent)
            assert rig.sent() < len(MESSAGES)
            with trio.fail_after(10):
                assert [await receiver.recv(100) for _ in MESSAGES] == MESSAGES
            await rig.delivered()
    assert rig.sent() == len(MESSAGES)


@pytest.mark.usefixtures("short_pauses")
async def test_receiver_that_goes_is_noticed_while_waiting(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    """What stood in the queue of the one that went was delivered to it; the next gets the rest."""
    path = tmp_path / "log"
    rig = make_rig()
    rig.put(*MESSAGES)
    with await bound(path) as receiver:
        async with rig.delivering(UnixDestination(type="unix", path=str(path))):
            await rig.until(rig.sent)
            sent = rig.sent()
            receiver.close()
            await rig.until(lambda: rig.account.failures > 1)
            assert rig.account.down_reason == f"{path}: connection refused"
            path.unlink()
            await rig.until(lambda: "no such file" in rig.account.down_reason)
            with await bound(path) as second, trio.fail_after(10):
                assert [await second.recv(100) for _ in MESSAGES[sent:]] == MESSAGES[sent:]
                await rig.delivered()


async def test_datagram_too_large_costs_this_message_alone(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    """More than the send buffer holds (unix(7): EMSGSIZE)."""
    with await bound(tmp_path / "log") as receiver:
        rig = make_rig()
        rig.put(b"<13>before", b"<13>" + b"x" * (8 << 20), b"<13>behind")
        async with rig.delivering(UnixDestination(type="unix", path=str(tmp_path / "log"))):
            await rig.delivered()
        assert [await receiver.recv(100) for _ in range(2)] == [b"<13>before", b"<13>behind"]
    assert rig.sent() == 2
    assert rig.account.dropped[Drop.TOO_LARGE] == 1


async def test_stalled_receiver_is_shown(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    class Deaf(FakeSender):
        def __init__(self) -> None:
            super().__init__(True, False)
            self.reading = trio.Event()

        async def writable(self) -> None:
            await self.reading.wait()

    sender = Deaf()
    rig = make_rig(FakeNetwork(sender))
    rig.put(*MESSAGES)
    async with rig.delivering(UnixDestination(type="unix", path="/run/log")):
        await trio.sleep(STALLED_SECONDS - 0.1)
        assert not rig.account.stalled
        await trio.sleep(0.2)
        assert rig.account.stalled
        sender.reading.set()
        await rig.delivered()
        assert not rig.account.stalled
    assert sender.sent == MESSAGES


async def test_icmp_is_not_for_unix_sockets(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    refused = OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    first, second = FakeSender(True, refused), FakeSender()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(UnixDestination(type="unix", path="/run/log")):
        await rig.delivered()
    assert first.sent + second.sent == MESSAGES
    assert rig.account.network_errors == 0
    assert rig.account.failures == 1


@pytest.mark.usefixtures("short_pauses")
async def test_stream_carries_lines(make_rig: MakeRig, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listener:
        await listener.bind(path)
        listener.listen()
        rig = make_rig()
        rig.put(*MESSAGES)
        async with rig.delivering(UnixDestination(type="unix", path=path, kind="stream")):
            accepted, _ = await listener.accept()
            await rig.delivered()
        async with trio.SocketStream(accepted) as stream:
            received = b"".join([data async for data in stream])
    assert received == b"".join(message + b"\n" for message in MESSAGES)


async def test_missing_socket_is_down(
    make_rig: MakeRig, tmp_path: Path, short_pauses: None
) -> None:
    rig = make_rig()
    async with rig.delivering(
        UnixDestination(type="unix", path=str(tmp_path / "none"), kind="stream")
    ):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == f"{tmp_path}/none: no such file or directory"
