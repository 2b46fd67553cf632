"""The unix listener on real sockets."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from pydantic import ValidationError

from relay.core.account import Drop, Refusal
from relay.core.bounds import Bounds
from relay.listeners.unix import UnixListener
from relay.system.datagram import SocketDatagramReceiver
from relay.system.machine import SystemMachine
from tests.listeners.conftest import Rig
from tests.listeners.test_tcp import until

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


@pytest.mark.parametrize(
    ("kind", "of_sockets"),
    [("datagram", socket.SOCK_DGRAM), ("stream", socket.SOCK_STREAM)],
)
async def test_a_blocking_pipe_delays_a_sender_one_second_at_most(
    kind: str, of_sockets: int, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Then what was read is dropped, and counted: blocking would stop every program that logs."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    async with rig.running(unix(tmp_path / "log", kind=kind)):
        with socket.socket(socket.AF_UNIX, of_sockets) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(LOCAL + b"1\n")
            await until(lambda: rig.account.received == 1)
            for number in range(4):  # whatever else has its time of a second, it does not add up
                await trio.sleep(0.3)
                sock.send(LOCAL + b"%d\n" % number)
                began = trio.current_time()
                await until(lambda: rig.channel.account.dropped[Drop.FULL] > number)  # noqa: B023
                assert 0.99 < trio.current_time() - began < 1.03
    assert rig.channel.account.dropped[Drop.FULL] == 4
    for bound in rig.sockets:
        bound.close()


async def test_several_sockets_of_one_listener_as_for_chroots_and_containers(
    rig: Rig, tmp_path: Path
) -> None:
    """Twenty more than the first; a file each, a directory each where it is missing."""
    paths = [str(tmp_path / f"jail{n}" / "log") for n in range(21)]
    listener = UnixListener.model_validate({"type": "unix", "path": paths})
    async with rig.running(listener):
        for number, path in enumerate(paths):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.connect(path)
                sock.send(LOCAL + b"%d" % number)
        assert sorted(map(int, await rig.texts(21))) == list(range(21))


@pytest.mark.parametrize(
    ("datagram", "messages"),
    [
        (b"foo", [b"foo"]),
        (b"bar\n", [b"bar"]),
        (b"foobar\n\n", [b"foobar"]),
        (b"glibc ends so\n\0", [b"glibc ends so"]),
        (b"\r\n\0\n", []),
        (b"", []),
        (b"\n", []),
        (b"\n\n", []),
        (b"inner\nline", [b"inner\nline"]),
    ],
)
async def test_ends_of_lines_and_empty_messages(
    rig: Rig, tmp_path: Path, datagram: bytes, messages: list[bytes]
) -> None:
    async with rig.running(unix(tmp_path / "log")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(datagram)
            sock.send(b"<13>Nov 23 07:45:25 app: end")
        await rig.texts(len(messages) + 1)
    head = b"<13>"
    assert [m.removeprefix(head).split(b" ", 2)[-1] for m in rig.held()[:-1]] == messages
    assert rig.account.refused[Refusal.EMPTY] == 1 - len(messages)


@pytest.mark.parametrize("octets", [8190, 8191, 8192, 8193, 9000, 60_000])
async def test_a_long_datagram_is_taken_whole(rig: Rig, tmp_path: Path, octets: int) -> None:
    async with rig.running(unix(tmp_path / "log")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(LOCAL + b"x" * octets)
        await rig.texts(1)
    assert rig.held() == [LOCAL + b"x" * octets]


SENDER = """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect(sys.argv[1])
for text in sys.argv[2:]:
    sock.send(text.encode())
sys.stdin.read()
"""


def program(path: Path, *texts: str) -> "subprocess.Popen[bytes]":
    """Another process that sends these, and lives until its stdin is closed."""
    command = [sys.executable, "-c", SENDER, str(path), *texts]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("off", ["app[1]: forged", "app: silent", "no tag", "app[PID]: true"]),
        ("verify", ["app[PID]: forged", "app: silent", "no tag", "app[PID]: true"]),
        ("add", ["app[PID]: forged", "app[PID]: silent", "COMM[PID]: no tag", "app[PID]: true"]),
    ],
)
async def test_the_kernel_says_which_process_sends(
    rig: Rig, tmp_path: Path, credentials: str, expected: list[str]
) -> None:
    head = "<13>Nov 23 07:45:25 "
    async with rig.running(unix(tmp_path / "log", credentials=credentials)):
        sent = [head + "app[1]: forged", head + "app: silent", "<13>no tag"]
        sender = program(tmp_path / "log", *sent)
        with sender:
            await rig.texts(3)
            comm = Path(f"/proc/{sender.pid}/comm").read_text().strip()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            sock.send(f"{head}app[{os.getpid()}]: true".encode())
        await rig.texts(4)
    for message, pattern, pid in zip(
        rig.held(), expected, [sender.pid] * 3 + [os.getpid()], strict=True
    ):
        text = pattern.replace("PID", str(pid)).replace("COMM", comm)
        assert message.endswith(f" {text}".encode()), message
    assert rig.account.credentials_mended == (0 if credentials == "off" else 1)


async def test_descriptors_that_a_sender_passes_along_are_closed(rig: Rig, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with rig.running(unix(tmp_path / "log", credentials="add")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(tmp_path / "log"))
            socket.send_fds(sock, [LOCAL + b"one"], [0, 1, 2])
        await rig.texts(1)
    for bound in rig.sockets:
        bound.close()
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_reload_may_ask_for_credentials(tmp_path: Path) -> None:
    """What was sent before the kernel was asked has none, and stays as it came."""
    (receiver,) = SystemMachine().open(unix(tmp_path / "log").endpoints()[0])
    assert isinstance(receiver, SocketDatagramReceiver)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(tmp_path / "log"))
        sock.send(b"early")
        receiver.adjust(unix(tmp_path / "log", credentials="verify").endpoints()[0])
        sock.send(b"late")
    assert receiver.receive_credentials(10, 1000) == ([b"early", b"late"], [0, os.getpid()])
    assert receiver.program(os.getpid()) == Path("/proc/self/comm").read_bytes().strip()
    assert receiver.program(2**22 + 1) == b""
    receiver.close()


@pytest.mark.parametrize(
    "keys",
    [
        {"path": "x" * 108},
        {"owner": "a b"},
        {"owner": ":"},
        {"mode": "9999"},
        {"mode": 438},
        {"kind": "packet"},
        {"path": []},
        {"path": ["log", "x" * 108]},
        {"credentials": "trust"},
        {"credentials": "add", "kind": "stream"},
    ],
)
def test_bad_keys_are_errors(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UnixListener.model_validate({"type": "unix", "path": "log", **keys})
