import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.system.ports import Endpoint
from tests.system.conftest import Open

KINDS = ["unix-datagram", "unix-stream"]


def endpoint(
    kind: str, path: Path, *, mode: int | None = None, owner: str | None = None
) -> Endpoint:
    return Endpoint(kind, str(path), mode=mode, owner=owner)  # type: ignore[arg-type]


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that other users can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.mark.parametrize("kind", KINDS)
def test_everybody_may_send_unless_a_mode_says_otherwise(
    kind: str, tmp_path: Path, open_all: Open
) -> None:
    old = os.umask(0o077)
    try:
        open_all(endpoint(kind, tmp_path / "open"))
        open_all(endpoint(kind, tmp_path / "narrow", mode=0o620))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o666
    assert stat.S_IMODE((tmp_path / "narrow").stat().st_mode) == 0o620


def test_the_kernel_makes_the_file_with_the_mode_of_the_unbound_socket(
    tmp_path: Path, closing: ExitStack
) -> None:
    """What `bind_unix` counts on: there is no moment in which too many may send."""
    sock = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    os.fchmod(sock.fileno(), 0o600)
    old = os.umask(0)
    try:
        sock.bind(str(tmp_path / "log"))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="chown takes root")
@pytest.mark.parametrize(
    ("owner", "uid", "gid"), [("nobody", 65534, 0), ("nobody:7", 65534, 7), (":nogroup", 0, 65534)]
)
def test_the_owner_is_set(owner: str, uid: int, gid: int, tmp_path: Path, open_all: Open) -> None:
    open_all(endpoint("unix-datagram", tmp_path / "log", owner=owner))
    status = (tmp_path / "log").stat()
    assert (status.st_uid, status.st_gid) == (uid, gid)


def test_an_unknown_owner_is_an_error_and_leaves_no_file(tmp_path: Path, open_all: Open) -> None:
    with pytest.raises(OSError, match="'no-such-user' is unknown here"):
        open_all(endpoint("unix-datagram", tmp_path / "log", owner="no-such-user"))
    assert not (tmp_path / "log").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="shows what happens after root is given up")
def test_an_owner_that_cannot_be_set_is_an_error_and_leaves_no_file(
    public_path: Path, open_all: Open
) -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(OSError, match="not permitted"):
            open_all(endpoint("unix-datagram", public_path / "log", owner="root"))
    finally:
        os.seteuid(0)
    assert not (public_path / "log").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stale_file_is_replaced_and_a_live_one_is_not(
    kind: str, tmp_path: Path, open_all: Open
) -> None:
    type_ = socket.SOCK_DGRAM if kind == "unix-datagram" else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, type_) as crashed:
        crashed.bind(str(tmp_path / "log"))
    open_all(endpoint(kind, tmp_path / "log"))
    for other in KINDS:
        with pytest.raises(OSError, match="in use by another process") as caught:
            open_all(endpoint(other, tmp_path / "log"))
        assert caught.value.errno == errno.EADDRINUSE


def test_a_path_that_is_no_socket_is_left_alone(tmp_path: Path, open_all: Open) -> None:
    (tmp_path / "log").write_text("precious")
    with pytest.raises(OSError, match="exists and is no socket"):
        open_all(endpoint("unix-datagram", tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="makes another user's socket")
def test_a_socket_that_may_not_be_asked_is_left_alone(public_path: Path, open_all: Open) -> None:
    open_all(endpoint("unix-datagram", public_path / "log", mode=0o600))
    os.seteuid(65534)
    try:
        with pytest.raises(OSError, match="denied"):
            open_all(endpoint("unix-datagram", public_path / "log"))
    finally:
        os.seteuid(0)
    assert (public_path / "log").is_socket()


def test_a_missing_directory_is_made(tmp_path: Path, open_all: Open) -> None:
    open_all(endpoint("unix-stream", tmp_path / "relay" / "log"))
    assert (tmp_path / "relay" / "log").is_socket()
    with pytest.raises(OSError, match="No such file"):
        open_all(endpoint("unix-stream", tmp_path / "run" / "relay" / "log"))


def test_a_path_too_long_for_a_socket_is_an_error(tmp_path: Path, open_all: Open) -> None:
    with pytest.raises(OSError, match="name too long"):
        open_all(endpoint("unix-stream", tmp_path / ("x" * 200)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_goes_with_the_socket_wherever_the_process_stands_then(
    kind: str, tmp_path: Path, open_all: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [opened] = open_all(endpoint(kind, Path("log")))
    assert opened.address == "log"
    monkeypatch.chdir("/")
    opened.close()
    assert not (tmp_path / "log").exists()
    opened.close()


def test_a_file_that_another_process_has_made_meanwhile_stays(
    tmp_path: Path, open_all: Open
) -> None:
    [ours] = open_all(endpoint("unix-datagram", tmp_path / "log"))
    (tmp_path / "log").unlink()
    open_all(endpoint("unix-datagram", tmp_path / "log"))
    ours.close()
    assert (tmp_path / "log").is_socket()
