"""Contexts follow their files."""

import logging
import shutil
from pathlib import Path

import pytest
import trio

from relay.system.ports import TlsUnusable
from relay.system.tls import SystemTls
from tests.system.tls.parts import Certificates


@pytest.fixture
def tls() -> SystemTls:
    return SystemTls(trio.CapacityLimiter(1))


async def test_files_that_have_not_changed_are_not_read_again(
    tls: SystemTls, certificates: Certificates
) -> None:
    context = await tls.load(certificates.mutual())
    assert await tls.load(certificates.mutual()) is context
    assert await tls.load(certificates.server_settings()) is not context


async def test_new_files_are_used_and_unusable_ones_are_told_once(
    tls: SystemTls, certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay.tls")
    ca = tmp_path / "ca.pem"
    settings = certificates.client_settings(ca=str(ca))
    with pytest.raises(TlsUnusable, match="no such file"):
        await tls.load(settings)
    shutil.copy(certificates.ca, ca)
    first = await tls.load(settings)
    ca.write_text("something else")
    for _ in range(3):
        assert await tls.load(settings) is first
    ca.unlink()
    for _ in range(3):
        assert await tls.load(settings) is first
    assert [it.levelname for it in caplog.records] == ["WARNING", "WARNING"]
    assert "ca.pem: no certificate in it" in caplog.messages[0]
    assert "ca.pem: no such file" in caplog.messages[1]
    shutil.copy(certificates.ca, ca)
    assert await tls.load(settings) is not first
    assert "are in use" in caplog.messages[2]


async def test_the_authorities_of_the_system_may_change_as_well(
    tls: SystemTls, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    settings = certificates.client_settings(ca="system")
    with pytest.raises(TlsUnusable, match="no certificates of authorities"):
        await tls.load(settings)
    shutil.copy(certificates.ca, bundle)
    first = await tls.load(settings)
    assert await tls.load(settings) is first
    bundle.write_bytes(bundle.read_bytes() * 2)
    assert await tls.load(settings) is not first
