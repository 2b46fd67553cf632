"""A relay from its start to its stop."""

import logging
import os
import socket

import pytest
import trio

from relay.core.account import Drop
from relay.listeners.tcp import TcpListener
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"


async def test_what_is_received_is_delivered(bench: Bench) -> None:
    async with bench.running() as relay:
        assert relay.ready
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(b"".join(LINE % n for n in range(1000)))
        await bench.until(lambda: len(bench.ring()) == 1000)
    assert bench.ring() == [b"%d" % n for n in range(1000)]
    assert not relay.ready


async def test_the_stop_reads_what_came_in_and_delivers_it(bench: Bench) -> None:
    async with bench.running():
        sock = socket.create_connection(bench.address("net"))
        sock.sendall(b"".join(LINE % n for n in range(1000)))
    assert bench.ring() == [b"%d" % n for n in range(1000)]
    sock.close()


async def test_what_cannot_be_delivered_is_counted_as_shutdown_and_told(bench: Bench) -> None:
    text = (
        BASE
        + f"""
[listeners.internal]
type = "internal"
[destinations.away]
type = "tcp"
address = "127.0.0.1:{_refusing_port()}"
[destinations.own]
type = "memory"
[pipes.forward]
spool = "never"
from = "net"
to = "away"
[pipes.own]
spool = "never"
from = "internal"
to = "own"
"""
    )
    async with bench.running(text) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1 + LINE % 2)
        await bench.until(lambda: len(bench.ring()) == 2)
    forward = relay.ledger.pipes["forward"]
    assert forward.dropped[Drop.SHUTDOWN] == 2
    told = [line.split(b" - - ")[1] for line in relay.rings.rings["own"].lines]
    assert b"dropped 2 messages to destination away: shutdown" in told
    assert told[-1] == b"exiting"
    assert relay.ledger.losses.untold == 0


async def test_a_second_signal_hurries_the_stop(bench: Bench) -> None:
    text = (
        BASE.replace('"1s"', '"60s"')
        + f"""
[destinations.away]
type = "tcp"
address = "127.0.0.1:{_refusing_port()}"
[pipes.forward]
spool = "never"
from = "net"
to = "away"
"""
    )
    async with bench.running(text) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: len(bench.ring()) == 1)
        bench.signals.send_nowait(15)
        began = trio.current_time()
    assert trio.current_time() - began < 5
    assert relay.ledger.pipes["forward"].dropped[Drop.SHUTDOWN] == 1


async def test_the_stop_keeps_drain_max(bench: Bench) -> None:
    text = (
        BASE
        + f"""
[destinations.away]
type = "tcp"
address = "127.0.0.1:{_refusing_port()}"
[pipes.forward]
spool = "never"
from = "net"
to = "away"
"""
    )
    async with bench.running(text):
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: len(bench.ring()) == 1)
        began = trio.current_time()
    assert 0.8 < trio.current_time() - began < 2


async def test_empty_pipes_do_not_delay_the_stop(bench: Bench) -> None:
    async with bench.running(BASE.replace('"1s"', '"60s"')):
        began = trio.current_time()
    assert trio.current_time() - began < 2


async def test_an_address_in_use_is_told_and_tried_again_while_the_rest_runs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        text = (
            BASE
            + f"""
[listeners.late]
type = "tcp"
listen = ["127.0.0.2:0", "127.0.0.1:{port}"]
[pipes.late]
spool = "never"
from = "late"
to = "ring"
"""
        )
        async with bench.running(text) as relay:
            assert not relay.ready
            assert f"listener late cannot listen on tcp 127.0.0.1:{port}" in caplog.text
            with socket.create_connection(bench.address("late")) as sock:
                sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            squatter.close()
            await bench.until(lambda: relay.ready)
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(LINE % 2)
            await bench.until(lambda: bench.ring() == [b"1", b"2"])


async def test_a_listener_that_fails_unexpectedly_starts_again_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("relay.core.delivery.BACKOFF_SECONDS", 0.01)
    run = TcpListener.run
    calls = 0

    async def failing(
        listener: TcpListener, sockets: object, intake: object, **status: object
    ) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ZeroDivisionError
        await run(listener, sockets, intake, **status)  # type: ignore[arg-type]

    monkeypatch.setattr(TcpListener, "run", failing)
    async with bench.running() as relay:
        await bench.until(lambda: calls == 3)
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: bench.ring() == [b"1"])
        assert relay.ledger.listeners["net"].restarts == 2
    assert "ZeroDivisionError" in caplog.text


async def test_own_messages_from_info_up_reach_the_pipes(bench: Bench) -> None:
    text = BASE.replace('from = "net"', 'from = "*"') + '[listeners.internal]\ntype = "internal"\n'
    async with bench.running(text):
        logging.getLogger("relay.test").warning("look %s", "here")
        await bench.until(lambda: b"here" in bench.ring())


async def test_threads_may_log_too(bench: Bench) -> None:
    text = BASE.replace('from = "net"', 'from = "*"') + '[listeners.internal]\ntype = "internal"\n'
    async with bench.running(text):
        log = logging.getLogger("relay.test")
        await trio.to_thread.run_sync(lambda: log.warning("from a thread"))
        await bench.until(lambda: b"thread" in bench.ring())


async def test_files_are_opened_again_at_sighup(bench: Bench) -> None:
    text = BASE.replace('type = "memory"', 'type = "file"\npath = "DIR/out.log"')
    async with bench.running(text) as relay:
        out = bench.directory / "out.log"
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: out.exists() and b" 1\n" in out.read_bytes())
            os.rename(out, bench.directory / "out.log.1")
            await bench.reload(text)
            sock.sendall(LINE % 2)
            await bench.until(lambda: out.exists() and b" 2\n" in out.read_bytes())
        assert (bench.directory / "out.log.1").read_bytes() == LINE % 1
        assert out.read_bytes() == LINE % 2
        assert relay.ledger.pipes["all"].retried == 0


def _refusing_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
