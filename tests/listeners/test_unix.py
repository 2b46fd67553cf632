"""The unix listener on real sockets."""

import os
import socket
import stat
from pathlib import Path

import pytest
import trio
from pydantic import ValidationError

from relay.core.account import Drop
from relay.core.bounds import Bounds
from relay.listeners.unix import UnixListener
from tests.listeners.conftest import Rig

LOCAL = b"<13>Nov 23 07:45:25 app: "


def unix(path: Path, **keys: object) -> UnixListener:
    return UnixListener.model_validate({"type": "unix", "path": str(path), **keys})


async def test_datagrams_as_syslog3_sends_them_arrive_unchanged(rig: Rig, tmp_path: Path) -> None:
    async with rig.running(unix(tmp_path / "log")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(LOCAL + b"one")
            sock.send(LOCAL + b"two\n\0")
        assert await rig.texts(2) == [b"one", b"two"]
    assert rig.held() == [LOCAL + b"one", LOCAL + b"two"]


async def test_a_stream_takes_lines_and_nul_ended_messages(rig: Rig, tmp_path: Path) -> None:
    async with rig.running(unix(tmp_path / "log", kind="stream")):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.sendall(LOCAL + b"one\0" + LOCAL + b"two\n")
            assert await rig.texts(2) == [b"one", b"two"]


async def test_local_programs_cannot_claim_the_kernel_s_facility(rig: Rig, tmp_path: Path) -> None:
    async with rig.running(unix(tmp_path / "log")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(b"<2>Nov 23 07:45:25 app: forged")
        await rig.texts(1)
    assert rig.held() == [b"<10>Nov 23 07:45:25 app: forged"]


async def test_mode_of_the_socket_file(rig: Rig, tmp_path: Path) -> None:
    async with rig.running(unix(tmp_path / "log", mode="0600")):
        assert stat.S_IMODE(os.stat(tmp_path / "log").st_mode) == 0o600


async def test_a_blocking_pipe_delays_a_sender_one_second_at_most(tmp_path: Path) -> None:
    """Then what was read is dropped, and counted: blocking would stop every program that logs."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    async with rig.running(unix(tmp_path / "log")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(LOCAL + b"1")
            await rig.texts(1)
            sock.send(LOCAL + b"2")
            began = trio.current_time()
            with trio.fail_after(5):
                while not rig.channel.account.dropped[Drop.FULL]:
                    await trio.sleep(0.01)
            assert 0.5 < trio.current_time() - began < 3
    assert rig.channel.account.dropped[Drop.FULL] == 1
    for bound in rig.sockets:
        bound.close()


@pytest.mark.parametrize(
    "keys",
    [
        {"path": "x" * 108},
        {"owner": "a b"},
        {"owner": ":"},
        {"mode": "9999"},
        {"mode": 438},
        {"kind": "packet"},
    ],
)
def test_bad_keys_are_errors(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UnixListener.model_validate({"type": "unix", "path": "log", **keys})
