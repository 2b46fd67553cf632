"""A message that our own code fails on costs itself and nothing else, at every destination."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from relay.core import outlet
from relay.core.account import Drop
from relay.core.component import Destination
from relay.destinations.file import FileDestination
from relay.destinations.memory import MemoryDestination
from relay.destinations.stdout import StdoutDestination
from relay.destinations.tcp import TcpDestination
from relay.destinations.udp import UdpDestination
from relay.destinations.unix import UnixDestination
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.fakes import FakeConnection, FakeDisk, FakeNetwork, FakeSender

MESSAGES = [b"<13>message %d" % n for n in range(12)]
BAD = MESSAGES[5]
GOOD = [message for message in MESSAGES if message != BAD]


def _convert(messages: Sequence[bytes], *_: object, **__: object) -> Sequence[bytes]:
    if BAD in messages:
        raise ZeroDivisionError
    return list(messages)


def _received(rig: Rig, connections: list[FakeConnection], senders: list[FakeSender]) -> bytes:
    disk = rig.outlet.host.disk
    assert isinstance(disk, FakeDisk)
    parts = [bytes(connection.taken) for connection in connections]
    parts += [b"%b\n" % message for sender in senders for message in sender.sent]
    parts += [bytes(disk.stdout), *(bytes(each.content) for each in disk.files.values())]
    parts += [b"%b\n" % line for ring in rig.rings.rings.values() for line in ring.lines]
    return b"".join(parts)


@pytest.mark.parametrize(
    "destination",
    [
        FileDestination(type="file", path="/log/all", format="rfc5424"),
        FileDestination(type="file", path="/log/{listener}", format="rfc5424"),
        MemoryDestination(type="memory", format="rfc5424"),
        StdoutDestination(type="stdout", format="rfc5424"),
        TcpDestination(type="tcp", address="a:1", framing="lf", format="rfc5424"),
        UdpDestination(type="udp", address="a:1", format="rfc5424"),
        UnixDestination(type="unix", path="/a", format="rfc5424"),
        UnixDestination(type="unix", path="/a", kind="stream", format="rfc5424"),
    ],
    ids=lambda destination: destination.type,
)
async def test_bad_message_is_dropped_and_all_others_arrive_once(
    destination: Destination,
    make_rig: MakeRig,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    monkeypatch.setattr(outlet, "convert", _convert)
    stream = destination.type == "tcp" or getattr(destination, "kind", "") == "stream"
    connections = [FakeConnection() for _ in range(20 * stream)]
    senders = [FakeSender() for _ in range(20 * (not stream))]
    rig = make_rig(FakeNetwork(*connections, *senders), FakeDisk())
    rig.put(*MESSAGES[:3])
    rig.put(*MESSAGES[3:9])
    rig.put(*MESSAGES[9:])
    async with rig.delivering(destination):
        await rig.delivered()
    assert _received(rig, connections, senders) == b"".join(b"%b\n" % each for each in GOOD)
    assert rig.account.dropped[Drop.INTERNAL_ERROR] == 1
    assert sum(rig.account.dropped.values()) == 1
    assert sum(rig.account.delivered.values()) == len(GOOD)
    assert rig.account.restarts >= 3
