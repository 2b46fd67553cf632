"""From settings to a context of the library, and what is wrong with the files."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from relay.system.ports import TlsSettings, TlsUnusable
from relay.system.tls.context import build
from tests.system.tls.parts import Certificates


def encrypted(file: str, directory: Path) -> Path:
    key = load_pem_private_key(Path(file).read_bytes(), None)
    path = directory / "host.key"
    path.write_bytes(key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    ))  # fmt: skip
    return path


def fails(settings: TlsSettings, reason: str) -> None:
    with pytest.raises(TlsUnusable, match=reason):
        build(settings)


def test_the_oldest_version_is_1_3_unless_told_otherwise(certificates: Certificates) -> None:
    assert build(certificates.client_settings()).minimum_version is ssl.TLSVersion.TLSv1_3
    older = certificates.client_settings(minimum_version="1.2", ciphers="ECDHE+AESGCM")
    context = build(older)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert {it["name"] for it in context.get_ciphers() if it["protocol"] == "TLSv1.2"} == {
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    }  # fmt: skip


def test_whoever_has_authorities_verifies(certificates: Certificates) -> None:
    client = build(certificates.client_settings())
    assert client.check_hostname
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert len(client.get_ca_certs()) == 1, "and no others"
    assert not build(certificates.client_settings(names=False)).check_hostname
    assert build(certificates.client_settings(verify="off")).verify_mode is ssl.CERT_NONE
    assert build(certificates.mutual()).verify_mode is ssl.CERT_REQUIRED
    assert build(certificates.mutual(verify="optional")).verify_mode is ssl.CERT_OPTIONAL
    assert build(certificates.server_settings()).verify_mode is ssl.CERT_NONE


def test_the_system_has_authorities(certificates: Certificates) -> None:
    assert build(certificates.client_settings(ca="system")).verify_mode is ssl.CERT_REQUIRED


def test_a_system_without_authorities_is_told(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    fails(certificates.client_settings(ca="system"), "no certificates of authorities")


def test_a_key_may_need_a_passphrase(certificates: Certificates, tmp_path: Path) -> None:
    key = str(encrypted(certificates.server, tmp_path))
    (tmp_path / "right").write_bytes(b"secret\n")
    (tmp_path / "wrong").write_bytes(b"sesame\n")
    fails(certificates.server_settings(key=key), "host.key: needs a passphrase")
    wrong = certificates.server_settings(key=key, passphrase_file=str(tmp_path / "wrong"))
    fails(wrong, "host.key: cannot be read, perhaps for another passphrase")
    right = certificates.server_settings(key=key, passphrase_file=str(tmp_path / "right"))
    build(right)


def test_a_key_belongs_to_its_certificate(certificates: Certificates) -> None:
    settings = certificates.server_settings(key=certificates.client)
    fails(settings, "client.pem: the key does not belong to the certificate in .*server.pem")


def test_files_that_hold_something_else_are_named(
    certificates: Certificates, tmp_path: Path
) -> None:
    fails(certificates.server_settings(certificate=certificates.ca), "ca.pem: no private key in it")
    leaf = trustme.CA().issue_cert("a.example.net")
    key = tmp_path / "only.key"
    leaf.private_key_pem.write_to_path(key)
    fails(certificates.server_settings(certificate=str(key)), "only.key: no certificate in it")
    fails(certificates.client_settings(ca=str(key)), "only.key: no certificate in it")
    damaged = tmp_path / "damaged.pem"
    damaged.write_bytes(Path(certificates.server).read_bytes().replace(b"MII", b"MIX", 9))
    fails(certificates.server_settings(certificate=str(damaged)), "damaged.pem: damaged")
    half = tmp_path / "half.pem"
    ca = Path(certificates.ca).read_bytes()
    half.write_bytes(ca + ca.replace(b"MII", b"MIX"))
    fails(certificates.client_settings(ca=str(half)), "half.pem: damaged")
    half.write_bytes(ca + b"\xff")
    fails(certificates.client_settings(ca=str(half)), "is no text")


def test_ciphers_that_mean_none_are_refused(certificates: Certificates) -> None:
    settings = certificates.client_settings(minimum_version="1.2", ciphers="nonsense")
    fails(settings, "no cipher is meant by 'nonsense'")
