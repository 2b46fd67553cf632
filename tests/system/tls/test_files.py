"""Reading the files of TLS settings."""

import os
from pathlib import Path

import pytest

from relay.system.ports import TlsUnusable
from relay.system.tls.files import FILE_MAX, passphrase, read, resolve, stamp_of


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(b"content\n")
    assert read(str(tmp_path / "a.pem")) == b"content\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"x" * (FILE_MAX + 1), "is larger than")],
)
def test_what_cannot_be_right_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(content)
    with pytest.raises(TlsUnusable, match=f"a.pem: {reason}"):
        read(str(tmp_path / "a.pem"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in (tmp_path / "fifo", tmp_path):
        with pytest.raises(TlsUnusable, match="is not a file"):
            read(str(name))
    with pytest.raises(TlsUnusable, match="missing: no such file"):
        read(str(tmp_path / "missing"))


def test_a_credential_is_a_file_of_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(TlsUnusable, match="gave no credentials"):
        resolve("credential:host.key")
    assert stamp_of("credential:host.key") is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "host.key").write_bytes(b"secret\nmore\n")
    assert passphrase("credential:host.key") == b"secret"


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    assert stamp_of(str(file)) is None
    file.write_bytes(b"one")
    first = stamp_of(str(file))
    assert first == stamp_of(str(file)) is not None
    (tmp_path / "b.pem").write_bytes(b"two")
    os.replace(tmp_path / "b.pem", file)
    assert stamp_of(str(file)) != first
