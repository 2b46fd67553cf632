"""Who is let in over TLS, and that nobody else ever has a message accepted."""

import errno
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.listeners import acceptance, handshakes, streams
from relay.system.ports import TlsReason
from relay.system.stream import SocketAcceptor, SocketConnection
from relay.system.tls.connection import TlsConnection
from relay.system.tls.context import SystemTlsContext
from relay.system.tls.identity import fingerprint
from tests.core.parts import waiting
from tests.listeners.conftest import Rig
from tests.listeners.test_tcp import STAMPED, until
from tests.listeners.tls_parts import (
    BROKEN,
    NAME,
    Authority,
    address_of,
    dialled,
    raw,
    say,
    secure,
    stream_of,
)

KINDS = ["tcp", "relp"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pki(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Authority, Authority]:
    """Another one beside it, of the same name."""
    return authority, Authority.make(tmp_path_factory.mktemp("other"))


@pytest.fixture(autouse=True)
def short_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "SWEEP_SECONDS", 0.02)


def failed(rig: Rig) -> dict[str, int]:
    return {reason: n for reason, n in rig.account.connections_failed.items() if n}


# -- who is let in


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_of_the_authority_is_heard(
    rig: Rig, authority: Authority, kind: str, version: str
) -> None:
    context = authority.context(authority.client)
    context.maximum_version = ssl.TLSVersion[f"TLSv{version.replace('.', '_')}"]
    listener = secure(kind, authority, tls={"minimum_version": version})
    texts = [b"%d" % number for number in range(3000)]
    async with rig.running(listener) as intake, dialled(rig, context) as tls:
        await tls.send_all(stream_of(kind, *texts))
        await until(lambda: rig.account.accepted == 3000)
        assert {it for batch in waiting(rig.channel) for it in batch.senders} == {
            f"{NAME}@127.0.0.1"
        }
        assert await rig.texts(3000) == texts
        (stream,) = intake.streams.table.values()
        assert stream.identity is not None
        assert stream.identity.name == NAME
        assert rig.account.connections_open == 1
        assert failed(rig) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("keys", "shows"),
    [
        ({"client_ca": None}, False),
        ({"client_certificate": "off"}, False),
        ({"client_certificate": "optional"}, False),
        ({"client_certificate": "optional"}, True),
        ({"peers": ["fw9.example.net", NAME]}, True),
        ({"fingerprints": "of the client"}, True),
    ],
)
async def test_who_is_permitted(
    rig: Rig, authority: Authority, kind: str, keys: dict[str, object], shows: bool
) -> None:
    if "fingerprints" in keys:
        keys = {"fingerprints": fingerprint_of(authority.client)}
    listener = secure(kind, authority, tls=keys)
    context = authority.context(authority.client if shows else None)
    async with rig.running(listener), dialled(rig, context) as tls:
        await tls.send_all(stream_of(kind, b"1"))
        assert await rig.texts(1) == [b"1"]
        assert failed(rig) == {}


def fingerprint_of(file: str) -> str:
    text = Path(file).read_text()
    begin = text.index("-----BEGIN CERTIFICATE")
    return fingerprint(ssl.PEM_cert_to_DER_cert(text[begin:].partition("\n-----END CERT")[0]
                                                + "\n-----END CERTIFICATE-----\n"))  # fmt: skip


# -- who is not

Attempt = Callable[[Rig, Authority, Authority, str], Awaitable[object]]


async def cleartext(rig: Rig, _: Authority, __: Authority, kind: str) -> None:
    async with raw(rig) as stream:
        with suppress(*BROKEN):
            await stream.send_all(stream_of(kind, b"1", b"2"))
            await stream.receive_some()


async def of_another_authority(rig: Rig, mine: Authority, other: Authority, kind: str) -> str:
    return await say(rig, mine.context(other.client), stream_of(kind, b"1"))


async def without_certificate(rig: Rig, mine: Authority, _: Authority, kind: str) -> str:
    return await say(rig, mine.context(), stream_of(kind, b"1"))


async def expired(rig: Rig, mine: Authority, _: Authority, kind: str) -> str:
    return await say(rig, mine.context(mine.issue(NAME, days=-1)), stream_of(kind, b"1"))


async def of_another_name(rig: Rig, mine: Authority, _: Authority, kind: str) -> str:
    return await say(rig, mine.context(mine.issue("evil.example.net")), stream_of(kind, b"1"))


async def of_an_old_version(rig: Rig, mine: Authority, _: Authority, kind: str) -> str:
    context = mine.context(mine.client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return await say(rig, context, stream_of(kind, b"1"))


async def with_a_weak_cipher(rig: Rig, mine: Authority, _: Authority, kind: str) -> str:
    context = mine.context(mine.client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    return await say(rig, context, stream_of(kind, b"1"))


async def refuses_us(rig: Rig, mine: Authority, other: Authority, _: str) -> None:
    def try_it() -> None:
        with socket.create_connection(address_of(rig)) as sock, suppress(ssl.SSLError):
            other.context(mine.client).wrap_socket(sock, server_hostname="relay.example.net")

    await trio.to_thread.run_sync(try_it)


async def silent(rig: Rig, _: Authority, __: Authority, ___: str) -> None:
    async with raw(rig) as stream:
        with suppress(*BROKEN):
            await stream.receive_some()


async def cut(rig: Rig, mine: Authority, _: Authority, ___: str) -> None:
    """The ClientHello, and then the end."""
    async with raw(rig) as stream:
        await stream.send_all(hello(mine)[:100])


async def garbage(rig: Rig, _: Authority, __: Authority, ___: str) -> None:
    async with raw(rig) as stream:
        with suppress(*BROKEN):
            await stream.send_all(b"\x16\x03\x01\x02\x00\x01" + b"garbage " * 100)
            while await stream.receive_some():
                pass


async def too_much(rig: Rig, _mine: Authority, _other: Authority, _kind: str) -> None:
    """A handshake message without end: 16 MiB are announced."""
    async with raw(rig) as stream:
        with suppress(*BROKEN):
            await stream.send_all(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes((16 << 10) - 4))
            for _ in range(1000):
                await stream.send_all(b"\x16\x03\x01\x40\x00" + bytes(16 << 10))


def hello(authority: Authority) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.context().wrap_bio(incoming, outgoing, server_hostname="relay.example.net")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@dataclass(frozen=True, slots=True)
class Stranger:
    attempt: Attempt
    reason: str
    keys: Mapping[str, object] = field(default_factory=dict)  # of the table `tls`

    def __str__(self) -> str:
        return f"{self.attempt.__name__}-{self.reason}"


STRANGERS = [
    Stranger(cleartext, "cleartext"),
    Stranger(of_another_authority, "untrusted"),
    Stranger(of_another_authority, "untrusted", {"client_certificate": "optional"}),
    Stranger(without_certificate, "no-certificate"),
    Stranger(expired, "expired"),
    Stranger(of_another_name, "not-permitted", {"peers": NAME}),
    Stranger(of_another_name, "not-permitted", {"fingerprints": f"sha-256:{'00:' * 31}00"}),
    Stranger(of_an_old_version, "version"),
    Stranger(with_a_weak_cipher, "cipher", {"minimum_version": "1.2", "ciphers": "ECDHE+AESGCM"}),
    Stranger(refuses_us, "refused"),
    Stranger(silent, "timeout", {"handshake_max": "0.1s"}),
    Stranger(cut, "closed"),
    Stranger(garbage, "protocol"),
    Stranger(too_much, "protocol"),
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_of_a_stranger_is_ever_accepted(
    rig: Rig, pki: tuple[Authority, Authority], kind: str, stranger: Stranger,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Counted, told once, and others go on."""
    authority, other = pki
    keys = dict(stranger.keys)
    if "fingerprints" in keys:
        keys["fingerprints"] = [keys["fingerprints"], fingerprint_of(authority.client)]
    reason = f"tls-{stranger.reason}"
    async with (
        rig.running(secure(kind, authority, tls=keys)),
        dialled(rig, authority.context(authority.client)) as good,
    ):
        await good.send_all(stream_of(kind, b"1"))
        await until(lambda: rig.account.accepted == 1)
        for times in (1, 2):
            await stranger.attempt(rig, authority, other, kind)
            await until(lambda n=times: failed(rig) == {reason: n})
        assert rig.account.connections_open == 1
        assert rig.account.received == 1
        await good.send_all(stream_of("tcp", b"2") if kind == "tcp" else b"")
    assert rig.account.received == rig.account.accepted == 1 + (kind == "tcp")
    first, last = caplog.messages
    assert first.startswith(f"listener in: connection from 127.0.0.1 refused: {reason}: ")
    assert last.startswith("listener in: 2 connections from 127.0.0.1 within ")
    assert last.endswith(f" refused: {reason}")


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
async def test_nor_where_descriptors_were_missing(
    rig: Rig, pki: tuple[Authority, Authority], stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had to wait in the backlog is let in by the same rules."""
    accept, faults = SocketAcceptor.accept, iter([errno.EMFILE] * 2)

    def short(acceptor: SocketAcceptor) -> object:
        for fault in faults:
            raise OSError(fault, os.strerror(fault))
        return accept(acceptor)

    monkeypatch.setattr(SocketAcceptor, "accept", short)
    monkeypatch.setattr(acceptance, "DEFER_SECONDS", 0.02)
    monkeypatch.setattr(streams, "SWEEP_SECONDS", 0.02)
    authority, other = pki
    reason = f"tls-{stranger.reason}"
    async with rig.running(secure("tcp", authority, tls=dict(stranger.keys))):
        await stranger.attempt(rig, authority, other, "tcp")
        await until(lambda: failed(rig) == {reason: 1})
    assert rig.account.accept_deferred == 2
    assert rig.account.received == 0


def test_every_reason_is_counted_from_the_start(rig: Rig) -> None:
    assert {f"tls-{reason}" for reason in TlsReason} <= rig.account.connections_failed.keys()


# -- what it costs


async def test_handshakes_take_no_more_than_their_share(
    rig: Rig, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of them, each step as slow as with the longest keys: the rest is for others."""
    steps = 0

    def slow(_: TlsConnection) -> bool:
        nonlocal steps
        steps += 1
        until = time.perf_counter() + 0.004
        while time.perf_counter() < until:
            pass
        return False

    monkeypatch.setattr(TlsConnection, "handshake", slow)
    async with rig.running(secure("tcp", authority)), AsyncExitStack() as stack:
        for _ in range(20):
            flood = await stack.enter_async_context(raw(rig))
            await flood.send_all(b"\x16")
        await until(lambda: rig.account.connections_open == 20)
        steps, began = 0, trio.current_time()
        await trio.sleep(0.5)
        assert steps
        assert steps * 0.004 <= (trio.current_time() - began) / handshakes.SHARE + 0.01


async def test_time_in_which_a_client_waits_for_us_does_not_count(
    rig: Rig, authority: Authority, autojump_clock: trio.testing.MockClock
) -> None:
    listener = secure("tcp", authority, tls={"handshake_max": "10s"})
    intake = rig.intake(listener)
    limits = listener.peer_limits(1 << 20)  # type: ignore[attr-defined]
    ours, theirs = socket.socketpair()
    table = intake.streams.handshakes
    with theirs, closing(handshakes.Handshakes(intake, limits)) as served:
        intake.streams.context = limits.tls, SystemTlsContext(limits.tls)
        rig.account.connections_open = 1
        served.begin(SocketConnection(ours, peer="192.0.2.7"), trio.current_time())
        theirs.sendall(hello(authority))
        served._line_up()
        await trio.sleep(60)
        served.end_late()
        assert table
        served.turn(lambda _: None)
        await trio.sleep(9.9)
        served.end_late()
        assert table
        await trio.sleep(0.2)
        served.end_late()
        assert not table
    assert failed(rig) == {"tls-timeout": 1}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_renegotiation_is_refused(rig: Rig, authority: Authority) -> None:
    """What was said before is accepted, and nothing behind it."""
    listener = secure("tcp", authority, tls={"minimum_version": "1.2"})
    async with rig.running(listener):
        command = ["openssl", "s_client", "-connect", rig.sockets[0].address, "-tls1_2",
                   "-CAfile", authority.bundle, "-cert", authority.client,
                   "-legacy_renegotiation"]  # fmt: skip
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(trio.run_process, command, stdin=subprocess.PIPE,
                        capture_stdout=False, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL, check=False)
            )  # fmt: skip
            assert process.stdin is not None
            await process.stdin.send_all(STAMPED + b"1\n")
            await until(lambda: rig.account.accepted == 1)
            await process.stdin.send_all(b"R\n")
            with trio.fail_after(10):
                await process.wait()
        await until(lambda: rig.account.connections_open == 0)
    assert rig.account.received == 1
