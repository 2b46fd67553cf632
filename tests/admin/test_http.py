"""The admin server as its clients see it: pages, refusals and limits."""

import contextlib
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack

import httpx
import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from relay import __version__
from relay.admin import admission, lifetime
from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from tests.admin.conftest import Rig, from_json


async def test_the_index_names_every_page(rig: Rig) -> None:
    async with rig.serving() as client:
        answer = await client.get("/")
        assert answer.status_code == 200
        for page in re.findall(r"^/(\w+)", answer.text, re.MULTILINE):
            if page != "memory":
                assert (await client.get(f"/{page}")).status_code == 200


async def test_health_and_readiness_say_different_things(rig: Rig) -> None:
    async with rig.serving() as client:
        assert (await client.get("/healthz")).text == "ok\n"
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert from_json(answer) == {"ready": True, "phase": "running", "reasons": []}
        rig.relay.ledger.listener("net").bound = False
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert from_json(answer)["reasons"] == ["listener net is not bound"]
        rig.relay.phase = "draining"
        answer = await client.get("/readyz")
        assert from_json(answer)["reasons"] == [
            "the relay is draining",
            "listener net is not bound",
        ]
        assert (await client.get("/healthz")).status_code == 200


async def test_metrics_come_in_the_format_that_is_asked_for(rig: Rig) -> None:
    async with rig.serving() as client:
        classic = await client.get("/metrics")
        assert classic.headers["content-type"].startswith("text/plain; version=0.0.4")
        asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
        modern = await client.get("/metrics", headers=asked)
        assert modern.headers["content-type"].startswith("application/openmetrics-text")
        names = [it.name for it in text_string_to_metric_families(modern.text)]  # type: ignore[no-untyped-call]
        assert "relay_pipe_received" in names


async def test_the_ledger_writes_its_identities_out(rig: Rig) -> None:
    channel = rig.relay.pipes["look"].channel
    channel.put(Batch([b"a"] * 5, ["h"] * 5, "net", 1, 5, zone="UTC"))
    with channel.lease() as lease:
        await lease.lend()
        lease.settle(2, Confirmation.STORED)
    account = rig.relay.ledger.listener("net")
    account.received = account.accepted = account.offered = 5
    async with rig.serving() as client:
        books = from_json(await client.get("/ledger"))
    look = books["pipes"]["look"]
    assert look["identity"] == (
        "received 5 + recovered 0 = filtered 0 + delivered 2 + dropped 0 + held 3"
    )
    assert (look["residual"], look["held"]["memory"], look["retried"]) == (0, 3, 3)
    assert look["delivered"] == {"sent": 0, "acked": 0, "confirmed": 0, "stored": 2}
    assert books["listeners"]["net"]["identity"] == "received 5 = accepted 5 + refused 0"
    assert books["totals"]["identity"] == "offered 5 = received by the pipes 5"
    assert (books["totals"]["residual"], books["version"]) == (0, __version__)


async def test_dead_letters_are_offered_as_well(rig: Rig) -> None:
    look, letters = rig.relay.ledger.pipes["look"], rig.relay.ledger.pipe("letters", "file")
    look.received = rig.relay.ledger.listener("net").offered = 3
    look.hand_over(3, Drop.REFUSED)
    letters.received = letters.filtered = 3
    async with rig.serving() as client:
        books = from_json(await client.get("/ledger"))
    assert books["pipes"]["look"]["dead_letters"] == books["totals"]["dead_letters"] == 3
    assert books["totals"]["identity"] == "offered 3 + dead letters 3 = received by the pipes 6"
    assert books["totals"]["residual"] == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/memory/recent", "/nowhere"])
async def test_nothing_can_be_changed(rig: Rig, method: str, path: str) -> None:
    async with rig.serving() as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/healthz", "/ledger", "/memory/recent?follow=1"]
)
async def test_head_gives_no_body(rig: Rig, path: str) -> None:
    rig.relay.rings.ring("recent", 1 << 16).append([b"line"])
    async with rig.serving() as client:
        answer = await client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_unknown_pages_are_not_found(rig: Rig) -> None:
    async with rig.serving() as client:
        assert (await client.get("/metric")).status_code == 404
        answer = await client.get("/memory/recent")
        assert answer.status_code == 404
        assert answer.text == "no memory destination 'recent' (there are: none)\n"


async def speak(rig: Rig, request: bytes) -> bytes:
    """All that comes back for some bytes."""
    async with await rig.connect() as stream:
        await stream.send_all(request)
        return b"".join([piece async for piece in stream])


async def test_a_body_that_nobody_asked_for_is_not_waited_for(rig: Rig) -> None:
    request = b"POST /ledger HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin"
    async with rig.serving() as client:
        assert (await speak(rig, request)).startswith(b"HTTP/1.1 405")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_client_that_half_closes_gets_its_answer(rig: Rig) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    async with rig.serving(), await rig.connect() as stream:
        await stream.send_all(request)
        await stream.send_eof()
        answer = b"".join([piece async for piece in stream])
        assert answer.startswith(b"HTTP/1.1 200")
        length = re.search(rb"content-length: (\d+)", answer)
        assert length
        assert len(answer.partition(b"\r\n\r\n")[2]) == int(length[1])


async def test_a_header_without_end_is_refused(rig: Rig) -> None:
    async with rig.serving() as client, await rig.connect() as stream:
        with contextlib.suppress(trio.BrokenResourceError):  # the refusal may be lost to a reset
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 431")
        await open_connections(client, 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host, RFC 9112 section 3.2
        (b"\0\xff" * 1000 + b"\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_http_is_refused(rig: Rig, request_: bytes, status: bytes) -> None:
    async with rig.serving() as client:
        assert (await speak(rig, request_)).startswith(b"HTTP/1.1 " + status)
        assert (await client.get("/healthz")).status_code == 200


async def test_a_websocket_is_refused(rig: Rig) -> None:
    upgrade = (
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with rig.serving():
        assert (await speak(rig, upgrade)).startswith(b"HTTP/1.1 403")


async def test_a_thousand_idle_connections_keep_no_scrape_out(rig: Rig) -> None:
    """Who is idle for longest makes room; each that had to go is counted."""
    async with rig.serving() as client:
        streams = [await rig.connect() for _ in range(1000)]
        while await count(client, "relay_admin_connections_refused_total") < 1000 - 32:
            await trio.sleep(0.01)
        assert await count(client, "relay_admin_connections_open") <= admission.ADDRESS_MAX
        assert await streams[0].receive_some() == b""
        for stream in streams:
            await stream.aclose()
        await open_connections(client, 1)


async def test_the_unix_socket_has_places_of_its_own(rig: Rig) -> None:
    """Also while the network has taken all of its own with requests that last."""
    rig.reload(rig.listen())
    fill(rig, 100_000)
    async with rig.serving(), rig.local() as local, AsyncExitStack() as stack:
        for _ in range(admission.ADDRESS_MAX):
            stream = await stack.enter_async_context(await rig.connect())
            await stream.send_all(b"GET /memory/recent HTTP/1.1\r\nHost: x\r\n\r\n")
            await stream.receive_some(1)  # its answer has begun, and is not read
        late = await stack.enter_async_context(await rig.connect())
        assert await late.receive_some() == b""
        assert await count(local, "relay_admin_connections_refused_total") == 1
        assert (await local.get("/healthz")).status_code == 200


async def count(client: httpx.AsyncClient, name: str) -> float:
    text = (await client.get("/metrics")).text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",  # RFC 9113 section 3.4
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    ],
)
async def test_it_speaks_http_1_alone(rig: Rig, request_: bytes) -> None:
    async with rig.serving(), await rig.connect() as stream:
        await stream.send_all(request_)
        answer = await stream.receive_some()
        assert re.match(rb"HTTP/1\.1 (200|40\d)", answer), answer


async def test_a_header_that_comes_slowly_has_no_more_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "KEEP_ALIVE_SECONDS", 0.3)
    async with rig.serving() as client, await rig.connect() as stream:
        began = trio.current_time()
        with contextlib.suppress(trio.BrokenResourceError):
            while trio.current_time() - began < 5:
                await stream.send_all(b"x")
                await trio.sleep(0.02)
        assert trio.current_time() - began < 2
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("header", [{"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}])
async def test_a_body_is_refused(rig: Rig, header: dict[str, str]) -> None:
    fields = "".join(f"{name}: {value}\r\n" for name, value in header.items()).encode()
    async with rig.serving() as client:
        answer = await speak(rig, b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 413")
        refused = 'relay_admin_requests_refused_total{reason="body"} 1.0\n'
        assert refused in (await client.get("/metrics")).text


async def test_over_tcp_nothing_can_be_changed(rig: Rig) -> None:
    ring = rig.relay.rings.ring("recent", 1 << 16)
    ring.append([b"line"])
    async with rig.serving() as client:
        answer = await client.post("/memory/recent/clear")
        assert answer.status_code == 403
        assert "use the unix socket" in answer.text
    assert list(ring.lines) == [b"line"]


async def test_a_client_that_says_nothing_is_cut_off(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "KEEP_ALIVE_SECONDS", 0.2)
    async with rig.serving():
        assert await speak(rig, b"GET / HTTP/1.1\r\n") == b""


async def test_an_answer_that_is_not_taken_in_time_is_cut_off(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "REQUEST_SECONDS_MAX", 0.3)
    fill(rig, 100_000)
    async with rig.serving() as client, await rig.connect() as stream:
        await stream.send_all(b"GET /memory/recent HTTP/1.1\r\nHost: x\r\n\r\n")
        await open_connections(client, 2)
        await open_connections(client, 1)


async def test_the_next_request_has_the_whole_time_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "REQUEST_SECONDS_MAX", 0.2)
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with rig.serving(), await rig.connect() as stream:
        for _ in range(2):
            await stream.send_all(request)
            answer = b""
            while not answer.endswith(b"ok\n"):
                answer += await stream.receive_some()
            await trio.sleep(0.4)


def fill(rig: Rig, lines: int) -> Sequence[bytes]:
    """A ring of lines of 1,000 octets."""
    written = [b"%d " % n + b"x" * 993 for n in range(lines)]
    rig.relay.rings.ring("recent", 1 << 30).append(written)
    return written


async def open_connections(client: httpx.AsyncClient, number: int) -> None:
    while f"relay_admin_connections_open {number}.0\n" not in (await client.get("/metrics")).text:
        await trio.sleep(0.01)


async def test_a_client_that_never_reads_delays_neither_the_ring_nor_the_stop(rig: Rig) -> None:
    fill(rig, 100_000)
    ring = rig.relay.rings.rings["recent"]
    async with rig.serving() as client:
        streams = [await rig.connect() for _ in range(3)]
        for stream, query in zip(streams, ("", "?follow=1", "?since=0&follow=1"), strict=True):
            await stream.send_all(
                b"GET /memory/recent%s HTTP/1.1\r\nHost: x\r\n\r\n" % query.encode()
            )
            await stream.receive_some(10)  # the answer has begun
        began = trio.current_time()
        ring.append([b"more"] * 1000)
        assert (await client.get("/healthz")).status_code == 200
        assert trio.current_time() - began < 1
        began = trio.current_time()
    assert trio.current_time() - began < 1
    for stream in streams:
        await stream.aclose()
