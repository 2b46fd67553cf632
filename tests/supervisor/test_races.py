"""Reloads and stops that come while something before them has not ended yet."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
import trio
import trio.testing

from relay.core.account import Drop
from relay.spool.store import Store
from relay.system.machine import SystemMachine
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"

FORWARD = """
[destinations.away]
type = "tcp"
address = "127.0.0.1:PORT"
[pipes.forward]
spool = "never"
from = "net"
to = "away"
"""


@contextmanager
def deaf_peer() -> Iterator[int]:
    """Accepts, and neither reads nor closes: a goodbye takes its whole time."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


async def test_reloads_in_a_row_and_a_stop_wait_for_the_delivery_before(bench: Bench) -> None:
    with deaf_peer() as one, deaf_peer() as two, deaf_peer() as three:
        async with bench.running(BASE + FORWARD.replace("PORT", str(one))) as relay:
            await bench.until(lambda: relay.ledger.pipes["forward"].up)
            for port in (two, three, one):
                await bench.reload(BASE + FORWARD.replace("PORT", str(port)))
            await bench.reload(BASE)
            await bench.reload(BASE + FORWARD.replace("PORT", str(two)))
            with socket.create_connection(bench.address("net")) as sock:
                sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
        forward = relay.ledger.pipes["forward"]
        assert forward.restarts == 0
        assert forward.received == 1


async def test_a_delivery_whose_thread_hangs_is_left_behind_by_its_successor(
    bench: Bench,
) -> None:
    """A full pipe that nobody reads stands for a disk that does not answer."""
    fifo = bench.directory / "hung"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    hung = BASE.replace('type = "memory"', f'type = "file"\npath = "{fifo}"')
    try:
        async with bench.running(hung) as relay:
            with socket.create_connection(bench.address("net")) as sock:
                sock.sendall(b"".join(LINE % n for n in range(20_000)))
                await bench.until(lambda: relay.ledger.pipes["all"].received == 20_000)
                await bench.reload(BASE)
                await bench.until(lambda: relay.ledger.pipes["all"].held().memory == 0)
    finally:
        os.close(reader)
    assert bench.ring()[-1] == b"19999"
    assert relay.ledger.pipes["all"].restarts == 0


async def test_a_stop_while_a_blocking_pipe_retires(bench: Bench) -> None:
    text = BASE.replace('"1s"', '"3s"')
    forward = FORWARD.replace("PORT", "9") + 'overflow = "block"\nmessages = 1\n'
    async with bench.running(text + forward) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.reload(text)
            assert "forward" in relay.retiring
    assert sum(relay.ledger.pipes["forward"].dropped.values()) == 1


async def test_a_listener_and_its_pipe_removed_together_lose_nothing(bench: Bench) -> None:
    """What the removed listener still reads goes into the pipe that it fed."""
    both = BASE + (
        '[listeners.old]\ntype = "tcp"\nlisten = ["127.0.0.2:0"]\n'
        '[destinations.other]\ntype = "memory"\n[pipes.old]\nfrom = "old"\nto = "other"\n'
    )
    async with bench.running(both) as relay:
        socks = [socket.create_connection(bench.address("old")) for _ in range(30)]
        for number, sock in enumerate(socks):
            sock.sendall(LINE % number)
        await bench.reload(BASE)
        await bench.until(lambda: not relay.leaving and not relay.retiring)
        account = relay.ledger.pipes["old"]
        assert account.received == 30
        assert sum(account.delivered.values()) == 30
        for sock in socks:
            sock.close()


async def test_a_second_reload_leaves_a_leaving_listener_its_routes(bench: Bench) -> None:
    two = (
        BASE
        + '[listeners.old]\ntype = "tcp"\nlisten = ["127.0.0.2:0"]\n'
        + ('[pipes.old]\nfrom = "old"\nto = "ring"\n')
    )
    async with bench.running(two) as relay:
        sock = socket.create_connection(bench.address("old"))
        sock.sendall(LINE % 1)
        await bench.until(lambda: bench.ring() == [b"1"])
        sock.sendall(LINE % 2)
        await bench.reload(BASE)
        await bench.reload(BASE)
        sock.sendall(LINE % 3)
        sock.close()
        await bench.until(lambda: not relay.leaving)
        assert bench.ring() == [b"1", b"2", b"3"]
        assert relay.ledger.listeners["old"].unrouted == 0


async def test_a_stop_lets_leaving_listeners_read_to_the_end(bench: Bench) -> None:
    """Removed listeners whose pipe is full are still reading when the signal comes."""
    text = BASE.replace('"1s"', '"4s"')
    old = (
        '[listeners.old]\ntype = "tcp"\nlisten = ["127.0.0.2:0"]\n[destinations.away]\n'
        'type = "tcp"\naddress = "127.0.0.1:9"\n[pipes.old]\nfrom = "old"\nto = "away"\n'
        'spool = "never"\noverflow = "block"\nmessages = 1\n'
    )
    keep = text.replace("[pipes", "[destinations.away]\ntype = 'memory'\n[pipes") + (
        '[pipes.old]\nfrom = "net"\nto = "away"\n'
    )
    async with bench.running(text + old) as relay:
        sock = socket.create_connection(bench.address("old"))
        sock.sendall(LINE % 0)
        await bench.until(lambda: relay.ledger.listeners["old"].received == 1)
        sent = sock.send(b"".join(LINE % n for n in range(1000)))
        await bench.reload(keep)
    account = relay.ledger.listeners["old"]
    assert account.received_octets == sent + len(LINE % 0)
    assert account.offered == account.accepted
    sock.close()


async def test_a_stop_while_an_address_is_missing_reads_the_others_to_the_end(
    bench: Bench,
) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        text = BASE.replace('"127.0.0.1:0"', f'"127.0.0.2:0", "127.0.0.1:{port}"')
        async with bench.running(text.replace('"1s"', '"6s"')) as relay:
            socks = [socket.create_connection(bench.address("net")) for _ in range(50)]
            for number, sock in enumerate(socks):
                sock.sendall(LINE % number)
        assert relay.ledger.listeners["net"].restarts == 0
        assert relay.ledger.listeners["net"].received == 50
        for sock in socks:
            sock.close()


async def test_a_unix_listener_that_changes_its_kind_reads_its_connections_to_the_end(
    bench: Bench,
) -> None:
    text = BASE.replace(
        'type = "tcp"\nlisten = ["127.0.0.1:0"]', 'type = "unix"\npath = "DIR/log"\nkind = "stream"'
    )
    async with bench.running(text) as relay:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(bench.directory / "log"))
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            sock.sendall(LINE % 2)
            await bench.reload(text.replace("stream", "datagram"))
            await bench.until(lambda: relay.ledger.listeners["net"].connections_open == 0)
        await bench.until(lambda: relay.ready and not relay.leaving)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(bench.directory / "log"))
            sock.send(LINE % 3)
        await bench.until(lambda: bench.ring() == [b"1", b"2", b"3"])


async def test_a_wider_address_is_bound_when_the_narrow_one_has_gone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    narrow = BASE.replace("127.0.0.1:0", f"127.0.0.1:{port}")
    async with bench.running(narrow) as relay:
        await bench.reload(narrow.replace("127.0.0.1:", "0.0.0.0:"))
        await bench.until(lambda: relay.ready and not relay.leaving)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: bench.ring() == [b"1"])
    assert "cannot listen" not in caplog.text


async def test_a_pipe_that_comes_back_in_the_turn_its_retirement_ends_lives(bench: Bench) -> None:
    text = BASE.replace('"1s"', '"0.2s"')
    async with bench.running(text + FORWARD.replace("PORT", "9")) as relay:
        for _ in range(20):
            await bench.reload(text)
            with trio.move_on_after(0.19):
                while relay.retiring:
                    await trio.sleep(0)
            await bench.reload(text + FORWARD.replace("PORT", "9"))
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: bench.ring() == [b"1"])
        assert relay.ledger.pipes["forward"].dropped[Drop.REMOVED] == 0


async def test_a_file_that_cannot_be_read_delays_no_stop(bench: Bench) -> None:
    """A named pipe that nobody writes stands for a configuration on a disk that hangs."""
    async with bench.running() as relay:
        path = bench.directory / "relay.toml"
        path.unlink()
        os.mkfifo(path)
        bench.signals.send_nowait(1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        began = trio.current_time()
    assert trio.current_time() - began < 3
    assert relay.reloads == 0
    writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # lets the thread go
    os.close(writer)


@pytest.mark.parametrize("where", ["open", "commit", "close"])
async def test_a_stop_leaves_a_hanging_spool_behind_that_has_a_successor(
    where: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipe was removed and came back: its new spool waits for the one that does not end."""
    bench.machine = SystemMachine(state_dir=str(bench.directory))
    release, hangs = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> NoReturn:
        hangs.set()
        release.wait(30)
        raise OSError(errno.EIO, "Input/output error")

    if where == "commit":
        monkeypatch.setattr("relay.spool.spool.commit_group", hang)
    else:
        monkeypatch.setattr(Store, where, hang)
    text = BASE + FORWARD.replace("PORT", "9").replace('"never"', '"always"')
    try:
        async with bench.running(text) as relay:
            with socket.create_connection(bench.address("net")) as sock:
                sock.sendall(LINE % 1)
            await bench.until(lambda: relay.ledger.pipes["forward"].received == 1)
            if where != "close":
                await bench.until(hangs.is_set)
            await bench.reload(BASE)
            await bench.until(lambda: hangs.is_set() and relay.spools["forward"].spool.ending)
            await bench.reload(text)
            assert relay.spools["forward"].before is not None
            began = trio.current_time()
        assert trio.current_time() - began < 2.5, "drain_max is a second"
        lost = 0 if where == "close" else 1
        assert relay.ledger.pipes["forward"].dropped[Drop.SHUTDOWN] == lost
    finally:
        release.set()
