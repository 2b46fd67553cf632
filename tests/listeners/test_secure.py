"""What is said over TLS once a client is let in, and how certificates come and go."""

import socket
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.account import ConnectionRefusal
from relay.core.component import Listener
from relay.core.intake import Intake
from relay.core.streams import Stream
from relay.listeners import handshakes, streams
from relay.listeners import secure as secure_module
from relay.listeners.watching import Watching
from relay.system.ports import Connection
from relay.wire.framing import Framer, FramingCounts
from tests.listeners.conftest import Rig
from tests.listeners.test_relp import BLOCK, deliver
from tests.listeners.test_tcp import STAMPED, until
from tests.listeners.tls_parts import Authority, dialled, raw, say, secure, stream_of
from tests.system.tls.parts import Certificates, Pair

KINDS = ["tcp", "relp"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "tls")


@pytest.fixture(scope="module")
def secure_pair_files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("pair"))


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secure_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(handshakes, "SWEEP_SECONDS", 0.02)


@pytest.fixture
def no_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has to wait for the next sweep comes too late."""
    monkeypatch.setattr(streams, "SWEEP_SECONDS", 60.0)


def failed(rig: Rig) -> dict[str, int]:
    return {reason: n for reason, n in rig.account.connections_failed.items() if n}


# -- certificates


async def test_new_certificates_are_shown_and_nobody_is_dropped(
    rig: Rig, authority: Authority, tmp_path: Path
) -> None:
    """Another authority altogether, while messages come; a bad file in between changes nothing."""
    context = authority.context(authority.client)
    new = Authority.make(tmp_path / "new")
    new_server, new_bundle = Path(new.server).read_text(), Path(new.bundle).read_text()
    sent = 0
    async with rig.running(secure("tcp", authority)), dialled(rig, context) as old:

        async def go_on() -> None:
            nonlocal sent
            while True:
                await old.send_all(stream_of("tcp", b"%d" % sent))
                sent += 1
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_on)
            Path(authority.server).write_text("no certificate\n")
            Path(authority.bundle).write_text("no certificate\n")
            await trio.sleep(0.1)
            async with dialled(rig, context):
                pass
            Path(authority.bundle).write_text(new_bundle)
            Path(authority.server).write_text(new_server)
            await trio.sleep(0.1)
            async with dialled(rig, new.context(new.client)) as tls:
                await tls.send_all(stream_of("tcp", b"new"))
                await until(lambda: b"new" in [m[-3:] for m in rig.held()])
            assert "UNKNOWN_CA" in await say(rig, _trusting(new, context_of=authority), b"")
            await until(lambda n=sent: sent > n + 10)
            nursery.cancel_scope.cancel()
        await until(lambda: rig.account.accepted == sent + 1)
        rig.account.connections_failed["reset"] = 0  # of clients that left our ticket unread
        assert failed(rig) == {"tls-untrusted": 1}


def _trusting(new: Authority, *, context_of: Authority) -> ssl.SSLContext:
    """A client of the authority before, which trusts the new one."""
    return new.context(context_of.client)


@pytest.mark.parametrize("kind", KINDS)
async def test_without_usable_files_nobody_is_let_in_until_they_are_mended(
    rig: Rig, authority: Authority, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "relay")
    good = Path(authority.server).read_text()
    Path(authority.server).write_text("")
    refused = rig.account.connections_refused
    async with rig.running(secure(kind, authority)):
        for number in (1, 2):
            async with raw(rig):
                await until(lambda n=number: refused[ConnectionRefusal.TLS_UNUSABLE] == n)
        Path(authority.server).write_text(good)
        await until(lambda: "in: its TLS files can be used" in caplog.text)
        async with dialled(rig, authority.context(authority.client)) as tls:
            await tls.send_all(stream_of(kind, b"2"))
            assert await rig.texts(1) == [b"2"]
    assert rig.account.received == 1
    assert caplog.messages[:2] == [
        "listener in refuses all connections until its TLS files can be used: "
        f"{authority.server}: is empty",
        "listener in: its TLS files can be used",
    ]


async def test_what_a_reload_finds_unusable_stays_as_it_was(
    rig: Rig,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A restart has nothing in memory of its own; the context outlives it with the connections."""
    tls = secure("tcp", authority)
    context = authority.context(authority.client)
    async with rig.running(tls) as intake, dialled(rig, context):
        kept = intake.streams.context
    rig.open(tls.endpoints())
    del rig.sockets[0]
    Path(authority.server).unlink()
    fresh = Rig.intake

    def inherit(rig: Rig, it: Listener) -> Intake:
        intake = fresh(rig, it)
        intake.streams.context = kept
        return intake

    monkeypatch.setattr(Rig, "intake", inherit)
    async with rig.running(tls), dialled(rig, context) as again:
        await again.send_all(stream_of("tcp", b"1"))
        await until(lambda: rig.account.accepted == 1)
    assert "those read before stay in use" in caplog.text


# -- the connection


@pytest.mark.parametrize("kind", KINDS)
async def test_damage_behind_the_handshake_ends_one_connection_and_is_no_message(
    rig: Rig, authority: Authority, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = authority.context(authority.client)
    async with rig.running(secure(kind, authority)), dialled(rig, context) as good:
        async with dialled(rig, context) as tls:
            await tls.send_all(stream_of(kind, b"1"))
            await until(lambda: rig.account.accepted == 1)
            await tls.transport_stream.send_all(b"\x17\x03\x03\x00\x30" + bytes(48))
            await until(lambda: failed(rig) == {"tls-protocol": 1})
        await good.send_all(stream_of(kind, b"2"))
        await until(lambda: rig.account.accepted == 2)
        assert failed(rig) == {"tls-protocol": 1}
    assert rig.account.received == 2
    text = "listener in: connection from 127.0.0.1 ended: tls-protocol: TLS: decryption failed"
    assert any(it.startswith(text) for it in caplog.messages)


@pytest.mark.parametrize("ends", ["close_notify", "FIN alone"])
async def test_an_end_is_an_end_with_and_without_close_notify(
    rig: Rig, authority: Authority, ends: str
) -> None:
    context = authority.context(authority.client)
    async with rig.running(secure("tcp", authority)), dialled(rig, context) as tls:
        await tls.send_all(STAMPED + b"1\n" + STAMPED + b"tail")
        if ends == "close_notify":
            below, _ = await tls.unwrap()
            await below.aclose()
        else:
            await tls.transport_stream.send_eof()
        await until(lambda: rig.account.connections_open == 0)
    assert [it[len(STAMPED) :] for it in rig.held()] == [b"1", b"tail"]
    assert failed(rig) == {}


async def test_more_than_a_turn_takes_comes_without_another_octet_from_the_network(
    rig: Rig, authority: Authority
) -> None:
    """What TLS has in its memory makes no descriptor readable: whoever has some must be served."""
    lines = stream_of("tcp", *(b"%d" % n for n in range(200_000)))
    context = authority.context(authority.client)
    async with rig.running(secure("tcp", authority)), dialled(rig, context) as tls:
        await tls.send_all(lines)
        await until(lambda: rig.account.accepted == 200_000)


@pytest.mark.usefixtures("no_sweeps")
async def test_what_is_in_memory_interrupts_nobody_who_reads_it_anyway(
    rig: Rig, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader leaves its stay for who waits, and not at each of its own turns."""
    stays = []

    def until_counted(reader: Watching, deadline: float) -> trio.CancelScope:
        stays.append(deadline)
        return stay(reader, deadline)

    stay = Watching.until
    monkeypatch.setattr(Watching, "until", until_counted)
    context = authority.context(authority.client)
    async with rig.running(secure("tcp", authority)), dialled(rig, context) as tls:
        for number in range(20):
            await tls.send_all(stream_of("tcp", *(b"x" * 200 for _ in range(40))))
            await until(lambda: rig.account.accepted == 40 * (number + 1))  # noqa: B023
        assert len(stays) <= 2  # the first, and that behind the welcome


@pytest.mark.usefixtures("no_sweeps")
async def test_what_comes_with_the_end_of_the_handshake_is_heard_at_once(
    rig: Rig, authority: Authority
) -> None:
    """It is in TLS's memory when the client is let in, and nothing more comes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = authority.context(authority.client)
    client = context.wrap_bio(incoming, outgoing, server_hostname="relay.example.net")
    async with rig.running(secure("tcp", authority)), raw(rig) as stream:
        proved = False
        while not proved:
            try:
                client.do_handshake()
                proved = True
            except ssl.SSLWantReadError:
                await stream.send_all(outgoing.read())
                incoming.write(await stream.receive_some(1 << 16))
        client.write(stream_of("tcp", b"first"))
        await stream.send_all(outgoing.read())
        assert await rig.texts(1) == [b"first"]


@pytest.mark.usefixtures("no_sweeps")
async def test_what_waits_for_a_rate_is_read_when_its_time_has_come(
    rig: Rig, authority: Authority
) -> None:
    context = authority.context(authority.client)
    paced = secure("tcp", authority, rate_limit="20/s", burst=1)
    async with rig.running(paced), dialled(rig, context) as tls:
        await tls.send_all(stream_of("tcp", *(b"x" * 1000 for _ in range(12))))
        await until(lambda: rig.account.accepted == 12)
    assert rig.account.connections_paced


@pytest.mark.usefixtures("no_sweeps")
@pytest.mark.parametrize("octets", [3000, 300], ids=["many records", "one record"])
async def test_a_full_window_is_read_on_from_memory(
    rig: Rig, authority: Authority, octets: int
) -> None:
    """Over RELP a connection is not read while answers are owed; then the rest is in memory."""
    rig.channel.bound(BLOCK)
    context = authority.context(authority.client)
    async with rig.running(secure("relp", authority, window=2)), dialled(rig, context) as tls:
        await tls.send_all(stream_of("relp", *(b"x" * octets for _ in range(40))))
        with rig.channel.lease() as lease, trio.fail_after(10):
            for _ in range(20):
                await trio.sleep(0.01)  # so that the listener waits for the room
                await deliver(lease, 2)
        heard = b""
        with trio.fail_after(10):
            while not heard.endswith(b"\n41 rsp 6 200 OK\n"):
                heard += await tls.receive_some(1 << 16)
        assert heard.count(b" rsp 6 200 OK\n") == 40


async def test_answers_go_on_when_a_slow_reader_takes_them(rig: Rig, authority: Authority) -> None:
    """Many more answers than the kernels hold, so that records are cut in the middle."""
    count = 20_000
    texts = [b"." for _ in range(count)]
    async with rig.running(secure("relp", authority, window=200_000)):
        stream = await trio.open_tcp_stream("127.0.0.1", int(rig.sockets[0].address.split(":")[1]))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
        tls = trio.SSLStream(
            stream, authority.context(authority.client), server_hostname="relay.example.net"
        )
        heard = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tls.send_all, stream_of("relp", *texts))
            await trio.sleep(0.3)
            with trio.fail_after(30):
                while heard < count + 1:
                    heard += (await tls.receive_some(30_000)).count(b"\n")
        await trio.aclose_forcefully(tls)
    assert rig.account.accepted == count


MESSAGES = b"".join(
    b"%d %s" % (len(STAMPED) + n, STAMPED + b"x" * n) if n % 3 else STAMPED + b"y" * n + b"\n"
    for n in range(1, 60)
)


@given(st.lists(st.integers(1, 400), max_size=60), st.lists(st.integers(1, 900), max_size=30))
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_cut_points_of_records_and_of_ciphertext_do_not_matter(
    secure_pair_files: Certificates, records: list[int], cuts: list[int]
) -> None:
    """Byte by byte, or however else: the same messages, and the same counters."""
    expected, counts = framed([MESSAGES])
    pair = Pair.of(secure_pair_files.client_settings(), secure_pair_files.server_settings())
    pair.shake_hands()
    pair.settle()
    rest = MESSAGES
    for size in (*records, len(MESSAGES)):
        pair.client.send([rest[:size]] if rest[:size] else [b""])
        rest = rest[size:]
    cipher = bytes(pair.server_wire.arrived)
    pair.server_wire.arrived.clear()
    pieces = []
    for size in (*cuts, *([1] * 500), len(cipher)):
        pair.server_wire.arrived += cipher[:size]
        cipher = cipher[size:]
        while data := pair.server.receive(4096):
            pieces.append(data)
        assert not pair.server.pending
    assert framed(pieces) == (expected, counts)


def framed(pieces: Sequence[bytes]) -> tuple[list[bytes], FramingCounts]:
    counts = FramingCounts()
    line = cast("Connection", SimpleNamespace(peer="192.0.2.1"))
    stream = Stream(line, Framer("auto", 8192, 1 << 17, counts), 0.0)
    return [it for piece in pieces for it in stream.feed(piece, 0.0)] + stream.close(), counts


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stop_reads_what_was_said_and_says_close_notify(
    rig: Rig, authority: Authority, kind: str
) -> None:
    """Whoever has not proved who it is is not waited for."""
    context = authority.context(authority.client)
    async with AsyncExitStack() as stack, rig.running(secure(kind, authority)) as intake:
        await stack.enter_async_context(raw(rig))
        tls = await stack.enter_async_context(dialled(rig, context))
        await tls.send_all(stream_of(kind, b"1"))
        await until(lambda: rig.account.connections_open == 2 and rig.account.accepted == 1)
        intake.drain_by[0] = trio.current_time() + 5
        intake.draining.set()
        with trio.fail_after(5):
            while await tls.receive_some(1 << 16):
                pass
        await tls.aclose()
    assert failed(rig) == {"tls-timeout": 1}
