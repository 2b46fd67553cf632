"""A UDP collector that no route leads to: what is lost is told, and what is held arrives."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import numbered, numbers, told
from tests.scenarios.harness.namespace import NetworkNamespace, cannot_have_networks, run
from tests.scenarios.harness.waiting import SECONDS_MAX, until

CONFIG = """
[listeners.log]
type = "unix"
path = "log.sock"

[listeners.internal]
type = "internal"

[destinations]
siem = { type = "udp", address = "@address@:@port@" }
file = { type = "file", path = "all.log" }

[pipes.siem]
from = "log"
to = "siem"
spool = "never"
messages = 100
overflow = "drop-oldest"

[pipes.file]
from = "*"
to = "file"
"""


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    if why := cannot_have_networks():
        pytest.skip(why)
    with NetworkNamespace() as namespace:
        yield namespace


def test_a_collector_without_a_route(prepare: Prepare, namespace: NetworkNamespace) -> None:
    """The route is there only later: the pipe drops its oldest, and says how many in the file.

    When it is there, what the pipe has held arrives, and the file has had everything all along.
    """
    route = ("ip", "route", "add", "unreachable", f"{namespace.our_address}/32")
    run(*namespace.launcher, *route)
    with (
        closing(socket.socket(type=socket.SOCK_DGRAM)) as siem,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as program,
    ):
        siem.settimeout(SECONDS_MAX)
        siem.bind((namespace.our_address, 0))
        relay = prepare(
            CONFIG,
            {"address": namespace.our_address, "port": siem.getsockname()[1]},
            launcher=namespace.launcher,
        )
        relay.start()
        program.connect(str(relay.directory / "log.sock"))
        archive = relay.directory / "all.log"
        for message in numbered(200):
            program.send(message)
        # The pipe takes a batch whole: the next one finds it full.
        until(lambda: archive.exists() and b"seq=199;" in archive.read_bytes(), "it has them")
        for message in numbered(200, start=200):
            program.send(message)
        # Its admin server is in the other network: the log says enough.
        until(lambda: "no route to host" in relay.log, "the destination is down")
        until(lambda: "to destination siem: oldest" in relay.log, "the loss is told")
        run(*namespace.launcher, *(it if it != "add" else "delete" for it in route))
        received = [siem.recv(2000)]
        while b"seq=399;" not in received[-1]:
            received.append(siem.recv(2000))
        assert relay.stop() == 0
    lines = archive.read_bytes().splitlines()
    assert numbers(lines) == {"a": list(range(400))}
    lost = 400 - len(received)
    assert 0 < lost < 400  # whole batches go, so it may be some more than find no room
    assert told(lines) == {("siem", "oldest"): lost}
    assert numbers(received) == {"a": list(range(lost, 400))}
