"""The server's life: moved by a reload, patient with a port that is taken, never fatal."""

import logging
import socket

import httpx
import pytest
import trio
import trio.testing

from relay.admin import connections, server
from relay.supervisor.serve import serve
from relay.supervisor.state import Relay
from relay.system.machine import SystemMachine
from tests.admin.conftest import TEXT, Rig


async def answers(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"{url}/healthz", timeout=0.5)).status_code == 200
        except httpx.TransportError:
            return False


async def test_a_reload_moves_the_server(rig: Rig) -> None:
    async with rig.serving() as client:
        assert (await client.get("/healthz")).status_code == 200
        rig.reload(TEXT.replace("fd:admin", "fd:other"))
        while not await answers(rig.url("other")):
            await trio.sleep(0.01)
        assert not await answers(rig.url("admin"))
        rig.reload(TEXT.replace("fd:admin", "off"))
        while await answers(rig.url("other")):
            await trio.sleep(0.01)
        rig.reload(TEXT)
        while not await answers(rig.url("admin")):
            await trio.sleep(0.01)


async def test_a_reload_that_changes_something_else_leaves_connections_alone(rig: Rig) -> None:
    async with rig.serving(), await rig.connect() as stream:
        for number in (200, 300):
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"ok\n"):
                answer += await stream.receive_some()
            rig.reload(TEXT.replace("messages = 100", f"messages = {number}"))
            await trio.testing.wait_all_tasks_blocked()


async def test_a_port_in_use_is_told_once_and_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "backoff", lambda _: iter([0.05] * 1000))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rig.relay.config = rig.load(TEXT.replace("fd:admin", f"127.0.0.1:{port}"))
        async with rig.serving():
            await trio.sleep(0.5)
            taken.close()
            while not await answers(f"http://127.0.0.1:{port}"):
                await trio.sleep(0.01)
    errors = [it.getMessage() for it in caplog.records if it.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith(f"admin server cannot listen on 127.0.0.1:{port}: ")
    assert "already in use" in errors[0]


async def test_a_missing_inherited_socket_is_not_fatal(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.relay.config = rig.load(TEXT.replace("fd:admin", "fd:nothing"))
    async with rig.serving():
        while not caplog.records:
            await trio.sleep(0.01)
        rig.reload(TEXT)
        while not await answers(rig.url()):
            await trio.sleep(0.01)


async def test_a_bug_restarts_the_server_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept = connections.Server._accept
    failures = iter([True])

    async def fail_once(*args: object) -> None:
        if next(failures, False):
            raise ZeroDivisionError
        await accept(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(connections.Server, "_accept", fail_once)
    async with rig.serving() as client:
        text = (await client.get("/metrics")).text
        assert 'relay_restarts_total{component="admin server"} 1.0\n' in text
    assert "admin server failed unexpectedly" in caplog.text


async def test_a_bug_in_an_answer_costs_one_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.serving() as client:
        assert (await client.get("/ledger")).status_code == 200
        monkeypatch.delattr(Relay, "refresh")
        assert (await client.get("/ledger")).status_code == 500
        assert (await client.get("/healthz")).status_code == 200
    assert "AttributeError" in caplog.text


async def test_the_log_keeps_quiet_about_requests(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with rig.serving() as client:
        for path in ("/", "/metrics", "/nowhere"):
            await client.get(path)
        await client.post("/")
    ours = [it.getMessage() for it in caplog.records if not it.name.startswith("http")]
    assert len(ours) == 1
    assert ours[0].startswith("admin server listens on 127.0.0.1:")


async def test_with_a_running_relay(rig: Rig) -> None:
    """Everything together: what is received is seen in the ledger, the ring and the metrics."""
    machine = SystemMachine(inherited={name: [it] for name, it in rig.sockets.items()})
    text = TEXT.replace('to = "siem"', 'to = "recent"')
    relay = Relay(rig.load(text), machine)
    send, signals = trio.open_memory_channel[int](1)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        await serve(relay, signals, services=[server.serve_admin], task_status=task_status)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            (acceptor,) = relay.bindings.sockets.values()
            host, port = acceptor[0].address.rsplit(":", 1)
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(b"<13>one\n<13>two\n")
            async with httpx.AsyncClient(base_url=rig.url()) as client:
                while (books := (await client.get("/ledger")).json())["totals"]["offered"] < 4:
                    await trio.sleep(0.01)
                assert books["totals"]["residual"] == 0
                assert books["pipes"]["look"]["residual"] == 0
                ring = (await client.get("/memory/recent")).text
                assert ring.count("one\n") == 2
            send.send_nowait(15)
    assert relay.phase == "stopped"
    send.close()
    signals.close()
