"""What is wrong with certificates, in words: of our files, and of a peer."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.cli.conftest import Execute, write
from tests.system.tls.parts import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("tls"))


@contextmanager
def answering(context: ssl.SSLContext | None) -> Iterator[str]:
    """The address of a peer that keeps what it hears until the end, and must hear nothing."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with plain, suppress(OSError):
                        if context is None:
                            plain.sendall(b"220 welcome\r\n")
                            plain.recv(1 << 16)
                            continue
                        with context.wrap_socket(plain, server_side=True) as tls:
                            while data := tls.recv(1 << 16):
                                heard.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert not heard


def server(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


# -- probe


def test_a_peer_that_would_get_messages(execute: Execute, certificates: Certificates) -> None:
    with answering(server(certificates.server)) as address:
        result = execute("tls", "probe", address, "--ca", certificates.ca)
    assert result.exit_code == 0
    first, *shown = result.stdout.splitlines()
    assert first == f"{address}: TLSv1.3, the peer has proved who it is"
    assert any(it == "  names: siem.example.net, 127.0.0.1" for it in shown)
    assert any("expires in " in it for it in shown)
    assert any(it.startswith("  fingerprint: sha-256:") for it in shown)


def test_a_peer_that_would_not_and_what_it_shows(
    execute: Execute, certificates: Certificates, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3.5)
    leaf = authority.issue_cert("127.0.0.1", not_after=past)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "old.pem")
    with answering(server(str(tmp_path / "old.pem"))) as address:
        result = execute("tls", "probe", address, "--ca", str(tmp_path / "ca.pem"))
        assert result.exit_code == 1
        assert f"{address}: the peer's certificate has expired" in result.stderr
        assert "expired 3 days ago" in result.stderr
        result = execute("tls", "probe", address, "--ca", certificates.ca)
        assert "is of an authority that the ca does not have" in result.stderr
        assert "  names: 127.0.0.1\n" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--server-name", "other.example.net"], "for another name, not for other.example.net"),
        (["--ca", "/nowhere/ca.pem"], "/nowhere/ca.pem: no such file"),
    ],
)
def test_other_faults(
    options: list[str], words: str, execute: Execute, certificates: Certificates
) -> None:
    with answering(server(certificates.server)) as address:
        result = execute("tls", "probe", address, "--ca", certificates.ca, *options)
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_peer_that_wants_a_certificate_of_ours(
    execute: Execute, certificates: Certificates
) -> None:
    context = server(certificates.server)
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with answering(context) as address:
        result = execute("tls", "probe", address, "--ca", certificates.ca)
        assert (result.exit_code, "wants a certificate from us" in result.stderr) == (1, True)
        result = execute("tls", "probe", address, "--ca", certificates.ca,
                         "--certificate", certificates.client)  # fmt: skip
        assert result.exit_code == 0


def test_a_peer_without_tls_and_none_at_all(execute: Execute, certificates: Certificates) -> None:
    with answering(None) as address:
        result = execute("tls", "probe", address, "--ca", certificates.ca)
    assert result.exit_code == 1
    assert result.stderr == f"relay: {address}: the peer does not speak TLS\n"
    result = execute("tls", "probe", address, "--ca", certificates.ca)
    assert (result.exit_code, "connection refused" in result.stderr) == (1, True)


def test_what_can_be_no_destination_is_a_mistake(execute: Execute) -> None:
    result = execute("tls", "probe", "nowhere", "--key", "a.pem")
    assert result.exit_code == 2
    assert "address: expected \"HOST:PORT\", not 'nowhere'" in result.stderr
    assert "key: there is no certificate that it could belong to" in result.stderr


# -- check

CONFIG = """
[relay]
state_dir = "{directory}/state"
[admin]
listen = "127.0.0.1:0"
tls = {{ certificate = "{directory}/admin.pem", key = "{directory}/admin.pem" }}
[listeners.net]
type = "udp"
listen = ["127.0.0.1:0"]
[destinations.siem]
type = "tcp"
address = "127.0.0.1:9"
tls = {{ ca = "{directory}/ca.pem" }}
[pipes.siem]
from = "net"
to = "siem"
"""


def test_check_says_what_is_wrong_with_files(execute: Execute, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("something else")
    config = write(tmp_path, text=CONFIG.format(directory=tmp_path))
    result = execute("check", "--config", config)
    assert result.exit_code == 0
    lines = [it for it in result.stdout.splitlines() if ".pem: no" in it]
    assert lines == [
        f"warning: destinations.siem.tls: {tmp_path}/ca.pem: no certificate in it",
        "warning: admin server would not listen on TCP: "
        f"tls.certificate {tmp_path}/admin.pem: no such file or directory",
    ]


def test_check_says_what_has_expired(
    execute: Execute, tmp_path: Path, certificates: Certificates
) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3.5)
    leaf = trustme.CA().issue_cert("127.0.0.1", common_name="edge 1", not_after=past)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "admin.pem")
    (tmp_path / "ca.pem").write_text(Path(certificates.ca).read_text())
    config = write(tmp_path, text=CONFIG.format(directory=tmp_path))
    result = execute("check", "--config", config)
    expected = f"warning: {tmp_path}/admin.pem: certificate edge 1 expired 3 days ago"
    assert expected in result.stdout.splitlines()
