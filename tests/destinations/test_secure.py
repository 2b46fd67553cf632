"""TLS to a destination: who it talks to, and that nothing is said to anybody else."""

import datetime
import hashlib
import math
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
import trio
import trustme

from relay.destinations.relp import RelpDestination
from relay.destinations.tcp import TcpDestination
from relay.system.ports import TlsReason
from relay.wire.framing import Framer, FramingCounts
from tests.destinations.conftest import MakeRig, Rig
from tests.system.name_server import name_server
from tests.system.tls.parts import VERSIONS, Certificates, authority_of_that_name

pytestmark = pytest.mark.usefixtures("short_pauses")

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)
MESSAGES = [b"<13>message %d %s" % (n, b"x" * (n % 600)) for n in range(5000)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("tls"))


def server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    return context


@dataclass(slots=True, eq=False)
class Collector:
    """A peer on a real socket, made of the standard library's TLS.

    It reads plaintext until the end of each connection; with `answer`, it may say something.
    """

    context: ssl.SSLContext | None
    answer: Callable[[bytes], bytes] = lambda _: b""
    address: str = ""
    heard: bytearray = field(default_factory=bytearray)
    connections: int = 0
    failures: list[str] = field(default_factory=list)

    async def accept(self, listener: socket.socket) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listener)
                nursery.start_soon(self.serve, listener.accept()[0])

    async def serve(self, sock: socket.socket) -> None:
        self.connections += 1
        sock.setblocking(False)
        with sock:
            if self.context is None:
                sock.send(b"220 welcome\r\n")
                await trio.lowlevel.wait_readable(sock)
                self.heard += sock.recv(1 << 16)
                return
            with self.context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            ) as tls:
                try:
                    await again(tls, tls.do_handshake)
                    while data := await again(tls, lambda: tls.recv(1 << 16)):
                        self.heard += data
                        if answer := self.answer(data):
                            await again(tls, lambda: tls.send(answer))
                    await again(tls, tls.unwrap)
                except OSError as broken:
                    self.failures.append(str(broken))

    def messages(self) -> list[bytes]:
        return Framer("octet", 1 << 16, 1 << 20, FramingCounts()).feed(bytes(self.heard))


T = TypeVar("T")


async def again(tls: ssl.SSLSocket, call: Callable[[], T]) -> T:
    while True:
        try:
            return call()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(tls)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(tls)


@asynccontextmanager
async def collecting(
    context: ssl.SSLContext | None, answer: Callable[[bytes], bytes] = lambda _: b""
) -> AsyncIterator[Collector]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        collector = Collector(context, answer, f"127.0.0.1:{listener.getsockname()[1]}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collector.accept, listener)
            yield collector
            nursery.cancel_scope.cancel()


def tcp(collector: Collector, certificates: Certificates, **keys: object) -> TcpDestination:
    tls = keys.pop("tls", {})
    assert isinstance(tls, dict)
    return TcpDestination.model_validate({
        "type": "tcp", "address": collector.address, "tls": {"ca": certificates.ca, **tls}, **keys
    })  # fmt: skip


# -- confirmation


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("confirm", ["sent", "acked", "epoch"])
async def test_messages_arrive_and_are_delivered(
    confirm: str, version: str, certificates: Certificates, make_rig: MakeRig
) -> None:
    context = server_context(certificates)
    context.maximum_version = VERSIONS[version]
    rig = make_rig()
    async with collecting(context) as collector:
        destination = tcp(
            collector, certificates,
            confirm=confirm, epoch_bytes="64KiB", tls={"minimum_version": version},
        )  # fmt: skip
        async with rig.delivering(destination):
            for at in range(0, len(MESSAGES), 100):
                rig.put(*MESSAGES[at : at + 100])
            await rig.delivered()
            await rig.until(lambda: len(collector.messages()) == len(MESSAGES))
        assert collector.messages() == MESSAGES
        assert not collector.failures
    delivered = {"sent": rig.sent, "acked": rig.acked, "epoch": rig.confirmed}[confirm]()
    assert delivered == len(MESSAGES)
    assert rig.account.retried == rig.account.in_doubt == 0
    if confirm == "epoch":
        assert rig.account.epochs == collector.connections > 3


async def test_what_a_peer_does_not_acknowledge_is_not_delivered(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    """A peer that reads slowly with a small buffer resets the connection: no message is missing."""
    messages = [b"<13>%d %s" % (n, b"x" * 60_000) for n in range(100)]
    context = server_context(certificates)
    rig = make_rig()
    received: set[bytes] = set()
    stream: trio.SocketStream
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    async with listener:
        collector = Collector(None, address=f"127.0.0.1:{listener.socket.getsockname()[1]}")
        rig.put(*messages)
        destination = tcp(collector, certificates)
        async with rig.delivering(destination):
            with trio.fail_after(60):
                while len(received) < len(messages):
                    stream = await listener.accept()
                    tls = trio.SSLStream(stream, context, server_side=True)
                    framer = Framer("octet", 1 << 20, 1 << 20, FramingCounts())
                    octets = 0
                    with suppress(trio.BrokenResourceError):
                        async for data in tls:
                            received |= set(framer.feed(bytes(data)))
                            octets += len(data)
                            if octets > 900_000 or len(received) == len(messages):
                                break
                    if len(received) < len(messages):  # with something unread: a reset
                        await trio.aclose_forcefully(tls)
            await rig.until(lambda: rig.channel.is_empty)
            await stream.aclose()
    assert rig.account.retried > 0
    assert rig.acked() == len(messages)


async def test_a_missing_close_notify_is_an_end_and_replays_nothing(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    """As rsyslog's gtls driver ends."""
    rig = make_rig()
    context = server_context(certificates)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        collector = Collector(None, address=f"127.0.0.1:{listener.socket.getsockname()[1]}")
        async with rig.delivering(tcp(collector, certificates)):
            rig.put(b"<13>one")
            stream = await listener.accept()
            tls = trio.SSLStream(stream, context, server_side=True)
            assert await tls.receive_some() == b"7 <13>one"
            await rig.delivered()
            await stream.send_eof()
            await rig.until(lambda: rig.account.down_reason)
            await stream.aclose()
            assert "connection closed by peer" in rig.account.down_reason
            rig.put(b"<13>two")
            async with trio.SSLStream(await listener.accept(), context, server_side=True) as tls:
                assert await tls.receive_some() == b"7 <13>two"
                await rig.delivered()
    assert rig.account.replayed == rig.account.in_doubt == 0


async def test_what_the_peer_says_is_discarded(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    rig = make_rig()
    async with (
        collecting(server_context(certificates), lambda _: b"hello\n" * 100) as collector,
        rig.delivering(tcp(collector, certificates)),
    ):
        for n in range(20):
            rig.put(b"<13>message %d" % n)
            await rig.delivered()
    assert rig.acked() == 20
    assert collector.connections == 1


async def test_a_broken_handshake_is_told_and_tried_again(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    rig = make_rig()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        collector = Collector(None, address=f"127.0.0.1:{listener.socket.getsockname()[1]}")
        async with rig.delivering(tcp(collector, certificates)):
            rig.put(b"<13>hello")
            async with await listener.accept() as stream:
                assert await stream.receive_some()  # the beginning of a handshake
            await rig.until(lambda: rig.account.down_reason)
            assert "during the TLS handshake" in rig.account.down_reason
            async with trio.SSLStream(
                await listener.accept(), server_context(certificates), server_side=True
            ) as tls:
                assert await tls.receive_some() == b"9 <13>hello"
                await rig.delivered()
    assert rig.outlet.health.tls_failures[TlsReason.CLOSED] == 1


async def test_relp_over_tls(certificates: Certificates, make_rig: MakeRig) -> None:
    rest = b""

    def answer(data: bytes) -> bytes:
        nonlocal rest
        *frames, rest = (rest + data).split(b"\n")
        answers = b""
        for frame in frames:
            if not frame[:1].isdigit():
                continue  # the offers of `open` stand on lines of their own
            number, command = frame.split(b" ")[:2]
            text = b"200 OK\nrelp_version=0\ncommands=syslog" if command == b"open" else b"200 OK"
            answers += b"%s rsp %d %s\n" % (number, len(text), text)
        return answers

    rig = make_rig()
    async with collecting(server_context(certificates), answer) as collector:
        destination = RelpDestination.model_validate(
            {"type": "relp", "address": collector.address, "tls": {"ca": certificates.ca}}
        )
        async with rig.delivering(destination):
            rig.put(*[b"<13>message %d" % n for n in range(2000)])
            await rig.delivered()
    assert rig.confirmed() == 2000
    assert collector.connections == 1


# -- who the peer is

Change = Callable[[Certificates, Path], dict[str, object]]


def other_authority(certificates: Certificates, directory: Path) -> dict[str, object]:
    """One with the same name and another key."""
    authority_of_that_name().cert_pem.write_to_path(directory / "other.pem")
    return {"ca": str(directory / "other.pem")}


def written(content: bytes) -> Change:
    def write(certificates: Certificates, directory: Path) -> dict[str, object]:
        (directory / "ca.pem").write_bytes(content)
        return {"ca": str(directory / "ca.pem")}

    return write


CLOSED: list[tuple[str, Change, str, TlsReason | None]] = [
    ("other-authority", other_authority, "authority that", TlsReason.UNTRUSTED),
    ("system-store", lambda *_: {"ca": "system"}, "authority that", TlsReason.UNTRUSTED),
    ("empty", written(b""), "ca.pem: is empty", None),
    ("missing", lambda *_: {"ca": "/nowhere/ca.pem"}, "no such file", None),
    ("garbage", written(b"\xff\x00garbage" * 100), "no certificate in it", None),
    ("damaged", written(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
     "damaged", None),
    ("50 MB", written(b"\n" + b"#" * 50_000_000), "is larger than", None),
    ("directory", lambda *_: {"ca": "/tmp"}, "is not a file", None),
    ("other-name", lambda *_: {"server_name": "other.example.net"},
     "for another name, not for other.example.net", TlsReason.WRONG_NAME),
    ("other-address", lambda *_: {"server_name": "127.0.0.2"},
     "for another address", TlsReason.WRONG_NAME),
    ("peers", lambda *_: {"peers": ["other.example.net"]}, "its own: siem.example.net, 127.0.0.1",
     TlsReason.NOT_PERMITTED),
    ("fingerprint", lambda *_: {"fingerprints": "sha-256" + ":00" * 32},
     "none of the fingerprints", TlsReason.NOT_PERMITTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason", "counted"), [it[1:] for it in CLOSED], ids=[it[0] for it in CLOSED]
)
async def test_not_one_octet_of_a_message_leaves(
    change: Change,
    reason: str,
    counted: TlsReason | None,
    certificates: Certificates,
    tmp_path: Path,
    make_rig: MakeRig,
) -> None:
    rig = make_rig()
    async with collecting(server_context(certificates)) as collector:
        destination = tcp(collector, certificates, tls=change(certificates, tmp_path))
        async with rig.delivering(destination):
            rig.put(b"<13>secret")
            await rig.until(lambda: rig.account.failures > 2)
        assert reason in rig.account.down_reason
        assert not collector.heard
        assert collector.connections == 0 or counted
    failures = rig.outlet.health.tls_failures
    assert {it for it, number in failures.items() if number} == ({counted} - {None})
    assert rig.channel.held().messages == 1


async def check_refused(
    rig: Rig, collector: Collector, destination: TcpDestination, reason: str, counted: TlsReason
) -> None:
    async with rig.delivering(destination):
        rig.put(b"<13>secret")
        await rig.until(lambda: rig.account.failures > 2)
    assert reason in rig.account.down_reason
    assert rig.outlet.health.tls_failures[counted] > 2
    assert b"secret" not in collector.heard
    assert rig.channel.held().messages == 1


async def test_nothing_is_said_to_an_expired_certificate(
    certificates: Certificates, tmp_path: Path, make_rig: MakeRig
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3)
    authority.issue_cert("127.0.0.1", not_after=past).configure_cert(context)
    async with collecting(context) as collector:
        destination = tcp(collector, certificates, tls={"ca": str(tmp_path / "ca.pem")})
        await check_refused(
            make_rig(), collector, destination, "certificate has expired", TlsReason.EXPIRED
        )


async def test_nothing_is_said_to_a_self_signed_certificate(
    certificates: Certificates, make_rig: MakeRig, tmp_path: Path
) -> None:
    """A leaf without an authority; trustme's own authority serves as one."""
    authority = trustme.CA()
    key = tmp_path / "self.pem"
    key.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    async with collecting(context) as collector:
        await check_refused(
            make_rig(), collector, tcp(collector, certificates), "self-signed", TlsReason.UNTRUSTED
        )


async def test_nothing_is_said_to_a_peer_without_tls(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    async with collecting(None) as collector:
        await check_refused(
            make_rig(), collector, tcp(collector, certificates), "does not speak TLS",
            TlsReason.CLEARTEXT,
        )  # fmt: skip


async def test_nothing_is_said_over_an_older_version(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    context = server_context(certificates)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with collecting(context) as collector:
        await check_refused(
            make_rig(), collector, tcp(collector, certificates), "no version of TLS",
            TlsReason.VERSION,
        )  # fmt: skip


async def test_nothing_is_said_with_a_cipher_that_is_not_allowed(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    context = server_context(certificates)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES128+SHA")
    tls = {"minimum_version": "1.2", "ciphers": "ECDHE+AESGCM"}
    async with collecting(context) as collector:
        await check_refused(
            make_rig(), collector, tcp(collector, certificates, tls=tls), "no cipher",
            TlsReason.CIPHER,
        )  # fmt: skip


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("shown", ["none", "other"])
@pytest.mark.parametrize("confirm", ["sent", "acked", "epoch"])
async def test_nothing_counts_for_a_peer_that_refuses_our_certificate(
    confirm: str,
    shown: str,
    version: str,
    certificates: Certificates,
    tmp_path: Path,
    make_rig: MakeRig,
) -> None:
    """In TLS 1.3 the handshake has succeeded for us when the peer says so."""
    other = trustme.CA().issue_cert("edge1.example.net")
    other.private_key_and_cert_chain_pem.write_to_path(tmp_path / "other.pem")
    context = server_context(certificates)
    context.maximum_version = VERSIONS[version]
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    tls: dict[str, object] = {"minimum_version": "1.2"}
    if shown == "other":
        tls["certificate"] = str(tmp_path / "other.pem")
    rig = make_rig()
    async with collecting(context) as collector:
        destination = tcp(collector, certificates, confirm=confirm, tls=tls)
        async with rig.delivering(destination):
            rig.put(b"<13>secret")
            await rig.until(lambda: rig.account.failures > 2)
        assert not collector.heard
        reasons = ("wants a certificate", "authority of our certificate", "that both sides allow")
        assert any(it in rig.account.down_reason for it in reasons)
    assert rig.sent() + rig.acked() + rig.confirmed() == 0
    assert rig.channel.held().messages == 1


@asynccontextmanager
async def far_away(address: str, seconds: float) -> AsyncIterator[str]:
    """Where the same peer answers, whose octets take so long each way."""
    host, port = address.split(":")

    async def carry(source: trio.SocketStream, target: trio.SocketStream) -> None:
        send, receive = trio.open_memory_channel[tuple[float, bytes]](math.inf)

        async def deliver() -> None:
            with suppress(*BROKEN):
                async for due, data in receive:
                    await trio.sleep_until(due)
                    await (target.send_all(data) if data else target.send_eof())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(deliver)
            with suppress(*BROKEN):
                while data := await source.receive_some(1 << 16):
                    send.send_nowait((trio.current_time() + seconds, bytes(data)))
            send.send_nowait((trio.current_time() + seconds, b""))
            send.close()

    async def serve(stream: trio.SocketStream) -> None:
        peer = await trio.open_tcp_stream(host, int(port))
        async with stream, peer, trio.open_nursery() as nursery:
            nursery.start_soon(carry, stream, peer)
            nursery.start_soon(carry, peer, stream)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_refusal_from_far_away_is_waited_for(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    """It takes as long as the handshake has: 0.6 s here, longer than what is enough nearby."""
    context = server_context(certificates)
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    rig = make_rig()
    async with collecting(context) as collector, far_away(collector.address, 0.3) as address:
        destination = tcp(collector, certificates, confirm="sent").model_copy(
            update={"address": address}
        )
        async with rig.delivering(destination):
            rig.put(b"<13>secret")
            await rig.until(lambda: rig.account.failures)
        assert "wants a certificate" in rig.account.down_reason
    assert rig.sent() == 0
    assert rig.channel.held().messages == 1


async def test_the_peer_sees_our_certificate(certificates: Certificates, make_rig: MakeRig) -> None:
    context = server_context(certificates)
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    rig = make_rig()
    async with collecting(context) as collector:
        destination = tcp(collector, certificates, tls={"certificate": certificates.client})
        async with rig.delivering(destination):
            rig.put(b"<13>hello")
            await rig.delivered()
            await rig.until(lambda: collector.messages() == [b"<13>hello"])


async def test_a_silent_peer_is_down_after_the_deadline(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    rig = make_rig()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        collector = Collector(None, address=f"127.0.0.1:{listener.socket.getsockname()[1]}")
        destination = tcp(collector, certificates, tls={"handshake_max": "0.1s"})
        async with rig.delivering(destination):
            rig.put(b"<13>secret")
            await rig.until(lambda: rig.account.failures > 1)
    assert "no TLS handshake within 0.1 s" in rig.account.down_reason
    assert rig.outlet.health.tls_failures[TlsReason.TIMEOUT] > 1


async def test_a_fault_that_is_mended_is_over_by_itself(
    certificates: Certificates, tmp_path: Path, make_rig: MakeRig
) -> None:
    """And one that comes later leaves what was read before in use."""
    rig = make_rig()
    ca = tmp_path / "ca.pem"
    context = server_context(certificates)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        collector = Collector(None, address=f"127.0.0.1:{listener.socket.getsockname()[1]}")
        async with rig.delivering(tcp(collector, certificates, tls={"ca": str(ca)})):
            rig.put(b"<13>one")
            await rig.until(lambda: "no such file" in rig.account.down_reason)
            shutil.copy(certificates.ca, ca)
            stream = await listener.accept()
            async with trio.SSLStream(stream, context, server_side=True) as tls:
                assert await tls.receive_some() == b"7 <13>one"
                await rig.delivered()
            ca.write_text("now it is something else")
            rig.put(b"<13>two")
            stream = await listener.accept()
            async with trio.SSLStream(stream, context, server_side=True) as tls:
                assert await tls.receive_some() == b"7 <13>two"
                await rig.delivered()


async def test_a_pinned_certificate_needs_no_authority(
    certificates: Certificates, make_rig: MakeRig
) -> None:
    der = ssl.PEM_cert_to_DER_cert(first_certificate(certificates.server))
    rig = make_rig()
    async with collecting(server_context(certificates)) as collector:
        tls = {"fingerprints": [fingerprint(der).lower()]}
        destination = TcpDestination.model_validate(
            {"type": "tcp", "address": collector.address, "tls": tls}
        )
        async with rig.delivering(destination):
            rig.put(b"<13>hello")
            await rig.delivered()


def fingerprint(der: bytes) -> str:
    return "sha-256:" + ":".join(f"{octet:02X}" for octet in hashlib.sha256(der).digest())


def first_certificate(file: str) -> str:
    text = Path(file).read_text()
    end = "-----END CERTIFICATE-----\n"
    return text[text.index("-----BEGIN CERTIFICATE") : text.index(end) + len(end)]


# -- a service


@pytest.mark.parametrize(
    ("domain", "trusted"), [("siem.example.net", True), ("other.example.net", False)]
)
async def test_a_service_proves_its_domain_and_not_what_its_records_name(
    domain: str,
    trusted: bool,
    certificates: Certificates,
    make_rig: MakeRig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The certificate bears siem.example.net and 127.0.0.1, which is what the record says."""
    rig = make_rig()
    async with collecting(server_context(certificates)) as collector:
        host, _, port = collector.address.partition(":")
        with name_server(monkeypatch) as names:
            names.records[f"_syslog-tls._tcp.{domain}"] = [f"1 1 {port} {host}."]
            address = f"srv:_syslog-tls._tcp.{domain}"
            destination = tcp(collector, certificates, address=address)
            if not trusted:
                reason = "for another name, not for other.example.net"
                await check_refused(rig, collector, destination, reason, TlsReason.WRONG_NAME)
                return
            async with rig.delivering(destination):
                rig.put(b"<13>secret")
                await rig.delivered()
        assert collector.messages() == [b"<13>secret"]
