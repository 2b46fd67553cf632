"""Fault matrix: what happens to one TCP connection, and to the receiver at its end."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, stream
from tests.scenarios.harness.namespace import NetworkNamespace, cannot_have_networks
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receiving import ReceivingProcess
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until

MANY = 60_000  # messages: more than the buffers of two kernels hold

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.peer]
type = "tcp"
address = "@host@:@peer@"
@mode@

[pipes.forward]
from = "net"
to = "peer"
spool = "always"
messages = 200000
"""
ACKED = 'confirm = "acked"\nreplay = 0'
REPLAY = 'confirm = "acked"\nreplay = "8MiB"'  # more than a receiver has unread: see docs
EPOCH = 'confirm = "epoch"\nepoch_max = "500ms"\nepoch_bytes = "64KiB"'


def relay_to(
    prepare: Prepare, receiver: ReceivingProcess, mode: str = "", host: str = HOST
) -> RelayProcess:
    relay = prepare(CONFIG, {"peer": receiver.port, "mode": mode, "host": host})
    relay.start()
    return relay


def forward(books: Books) -> Books:
    pipe: Books = books["pipes"]["forward"]
    return pipe


def send(relay: RelayProcess, start: int, stop: int) -> None:
    """And return when all are received."""
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(numbered(stop - start, start=start), "octet"))
    relay.until(lambda books: forward(books)["received"] == stop, f"{stop} messages are received")


def settled(relay: RelayProcess) -> Books:
    """The pipe's book, as soon as nothing is held."""
    return forward(relay.until(lambda it: not total(forward(it)["held"]), "nothing is held"))


def check_all(receiver: ReceivingProcess, pipe: Books, count: int) -> None:
    """Nothing is missing, and what came twice was counted as sent again."""
    found = receiver.numbers()
    assert set(found) == set(range(count))
    assert len(found) - count <= pipe["retried"] + pipe["replayed"]
    assert total(pipe["dropped"]) == 0
    assert total(pipe["delivered"]) == count


def test_row_01_a_receiver_that_ends_while_idle(prepare: Prepare, tmp_path: Path) -> None:
    """The receiver has read everything and ends; the next messages come before its end is seen.

    They go out on the next connection, each once, and nothing is sent again for safety.
    """
    with ReceivingProcess(tmp_path / "received") as receiver:
        relay = relay_to(prepare, receiver)
        send(relay, 0, 10)
        receiver.wait_for(10)
        relay.pause()
        receiver.kill()
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(10, start=10), "octet"))
        receiver.start()
        relay.resume()
        receiver.wait_for(20)
        pipe = settled(relay)
        assert receiver.numbers() == list(range(20))
        assert pipe["replayed"] == 0
        assert pipe["delivered"]["acked"] == 20
        assert relay.stop() == 0


def test_row_02_a_receiver_that_is_stopped_and_killed(prepare: Prepare, tmp_path: Path) -> None:
    """What its kernel had not acknowledged comes again, exactly; what it had, unread, is in doubt.

    No more is missing than is in doubt, and nothing comes twice.
    """
    with ReceivingProcess(tmp_path / "received") as receiver:
        relay = relay_to(prepare, receiver, ACKED)
        send(relay, 0, 1000)
        receiver.wait_for(1000)
        receiver.pause()
        send(relay, 1000, MANY)
        until(lambda: forward(relay.ledger())["held"]["lent"] > 0, "the window is used")
        receiver.kill()
        receiver.start()
        pipe = settled(relay)
        receiver.wait_for(MANY - pipe["delivered"]["acked"] + 1000)
        until(lambda: receiver.numbers()[-1] == MANY - 1, "the last one comes")
        found = receiver.numbers()
        assert len(found) == len(set(found))
        assert pipe["delivered"]["acked"] == MANY
        assert pipe["retried"] > 0
        assert pipe["replayed"] == 0
        assert 0 < MANY - len(found) <= pipe["in_doubt"]
        assert relay.stop() == 0


@pytest.mark.parametrize("mode", [REPLAY, EPOCH], ids=["replay", "epoch"])
def test_row_03_nothing_is_lost_with_replay_or_epochs(
    mode: str, prepare: Prepare, tmp_path: Path
) -> None:
    """The same, and what might have been unread comes again: nothing is missing."""
    with ReceivingProcess(tmp_path / "received") as receiver:
        relay = relay_to(prepare, receiver, mode)
        send(relay, 0, 1000)
        receiver.wait_for(1000)
        receiver.pause()
        send(relay, 1000, MANY // 2)
        until(lambda: forward(relay.ledger())["held"]["lent"] > 0, "the window is used")
        receiver.kill()
        receiver.start()
        send(relay, MANY // 2, MANY)
        pipe = settled(relay)
        receiver.wait_for(MANY)
        check_all(receiver, pipe, MANY)
        assert pipe["retried"] + pipe["replayed"] > 0
        assert relay.stop() == 0


@pytest.mark.skipif(not shutil.which("ss"), reason="ss (iproute2) is not installed")
def test_row_04_a_connection_that_is_destroyed(prepare: Prepare, tmp_path: Path) -> None:
    """An administrator kills the connection (`ss -K`) while a frame is half out.

    The cut frame comes whole on the next connection. Nothing is missing: the receiver lives, and
    reads what its kernel had.
    """
    with ReceivingProcess(tmp_path / "received") as receiver:
        relay = relay_to(prepare, receiver, REPLAY)
        send(relay, 0, 1000)
        receiver.wait_for(1000)
        receiver.pause()
        send(relay, 1000, MANY)
        until(lambda: forward(relay.ledger())["held"]["lent"] > 0, "the window is used")
        _destroy(receiver.port)
        relay.until(lambda books: forward(books)["failures"] >= 1, "the break is seen")
        receiver.resume()
        pipe = settled(relay)
        receiver.wait_for(MANY)
        check_all(receiver, pipe, MANY)
        assert receiver.connections >= 2
        assert relay.stop() == 0


def _destroy(port: int) -> None:
    """Our connection to this port; skips the test where nobody may."""
    command = ["ss", "--kill", "--tcp", "--no-header", "dst", HOST, "dport", "=", f":{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or str(port) not in done.stdout:
        pytest.skip(f"connections cannot be destroyed here: {done.stderr.strip()}")


@pytest.mark.skipif(bool(cannot_have_networks()), reason=cannot_have_networks())
@pytest.mark.parametrize("dead", [False, True], ids=["short", "long"])
def test_row_05_a_link_that_is_down(dead: bool, prepare: Prepare, tmp_path: Path) -> None:
    """Somebody pulls the cable to the receiver, and plugs it in again.

    After a short while the same connection goes on. After a long one the peer was given up as dead,
    and a new one is made. Meanwhile the spool has what comes, and it drains to 0.
    """
    with (
        NetworkNamespace() as network,
        ReceivingProcess(tmp_path / "received", network.address, network.launcher) as receiver,
    ):
        mode = f'{REPLAY}\ndead_after = "{2 if dead else 30}s"'
        relay = relay_to(prepare, receiver, mode, network.address)
        send(relay, 0, 1000)
        receiver.wait_for(1000)
        network.pull()
        send(relay, 1000, 5000)
        if dead:
            relay.until(lambda books: forward(books)["failures"] >= 1, "the peer is dead")
        assert total(forward(relay.ledger())["held"]) > 0
        network.plug_in()
        receiver.wait_for(5000)
        pipe = settled(relay)
        check_all(receiver, pipe, 5000)
        assert receiver.connections == (2 if dead else 1)
        assert bool(pipe["failures"]) == dead
        assert relay.stop() == 0


@pytest.mark.skipif(bool(cannot_have_networks()), reason=cannot_have_networks())
@pytest.mark.skipif(not shutil.which("nft"), reason="nft (nftables) is not installed")
def test_row_06_a_network_that_loses_and_refuses(prepare: Prepare, tmp_path: Path) -> None:
    """A fifth of all packets is dropped; then a firewall answers everything with a reset.

    It takes longer, and nothing is missing.
    """
    with (
        NetworkNamespace() as network,
        ReceivingProcess(tmp_path / "received", network.address, network.launcher) as receiver,
    ):
        port = f"tcp dport {receiver.port}"
        network.filter(f"{port} numgen random mod 5 < 1 drop")
        relay = relay_to(prepare, receiver, REPLAY, network.address)
        send(relay, 0, 20_000)
        receiver.wait_for(20_000)
        network.filter(f"{port} reject with tcp reset")
        send(relay, 20_000, 21_000)
        relay.until(lambda books: forward(books)["failures"] >= 2, "it is refused again")
        assert not _connects(network.address, receiver.port)
        network.filter()
        receiver.wait_for(21_000)
        pipe = settled(relay)
        check_all(receiver, pipe, 21_000)
        assert relay.stop() == 0


def _connects(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
