"""Who is logged in, as utmp(5) and logind say."""

import os
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.system.logins import logins, parse_session, parse_utmp
from relay.system.ports import Login

# struct utmp of x86-64, whole, as utmp(5) has it.
RECORD = struct.Struct("=hxxi32s4s32s256shhiii4i20x")
USER, DEAD, LOGIN, BOOT = 7, 8, 6, 2


def record(line: str, user: str, *, kind: int = USER, process: int | None = None) -> bytes:
    process = os.getpid() if process is None else process
    return RECORD.pack(
        kind, process, line.encode(), b"ts/3", user.encode(), b"host.example.net",
        0, 0, 1, 1_790_000_000, 0, 0, 0, 0, 0,
    )  # fmt: skip


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A `/dev` with the terminals that the tests name."""
    if os.geteuid():
        pytest.skip("only root makes devices")
    directory = tmp_path / "dev"
    (directory / "pts").mkdir(parents=True)
    for name in ("tty1", "pts/0", "pts/1", "pts/2"):
        os.mknod(directory / name, stat.S_IFCHR | 0o620, os.makedev(1, 3))
        (directory / name).chmod(0o600 if name == "pts/2" else 0o620)
    (directory / "file").touch()
    return directory


def test_the_layout_is_that_of_utmpdump() -> None:
    """util-linux writes a record from text with the C structure itself."""
    text = (
        "[7] [01234] [ts/3] [alice   ] [pts/3       ] [192.0.2.1           ] [192.0.2.1      ] "
        "[2026-11-28T10:00:00,000000+00:00]\n"
    )
    done = subprocess.run(["utmpdump", "-r"], input=text.encode(), capture_output=True, check=True)
    assert list(parse_utmp(done.stdout)) == [(1234, "pts/3", "alice")]


def test_both_sources_are_read_and_each_terminal_is_there_once(
    tmp_path: Path, devices: Path
) -> None:
    (tmp_path / "utmp").write_bytes(
        record("~", "reboot", kind=BOOT)
        + record("tty1", "LOGIN", kind=LOGIN)
        + record("pts/0", "alice")
        + record("pts/1", "gone", kind=DEAD)
        + record("pts/1", "stale", process=ended_process())
        + record("pts/2", "bob")
        + record(":0", "alice")
        + record("ftp123", "ftp")
        + record("file", "nobody")
        + record("../../etc/passwd", "mallory")
        + record("pts/9", "left")
    )
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    (sessions / "1").write_text("UID=1000\nUSER=alice\nTTY=pts/0\nCLASS=user\nSTATE=active\n")
    (sessions / "2").write_text("UID=0\nUSER=root\nTTY=tty1\nCLASS=user\nSTATE=online\n")
    os.mkfifo(sessions / "2.ref")
    found = logins(str(tmp_path / "utmp"), str(sessions), str(devices))
    assert sorted(found, key=lambda it: it.terminal) == [
        Login("alice", f"{devices}/pts/0"),
        Login("bob", f"{devices}/pts/2", closed=True),
        Login("root", f"{devices}/tty1"),
    ]


def test_one_of_the_two_will_do(tmp_path: Path, devices: Path) -> None:
    (tmp_path / "utmp").write_bytes(record("pts/0", "alice"))
    none = str(tmp_path / "none")
    assert logins(str(tmp_path / "utmp"), none, str(devices)) == [
        Login("alice", f"{devices}/pts/0")
    ]
    (tmp_path / "sessions").mkdir()
    assert logins(none, str(tmp_path / "sessions"), str(devices)) == []


def test_neither_of_the_two_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        logins(str(tmp_path / "utmp"), str(tmp_path / "sessions"))
    assert raised.value.filename == str(tmp_path / "utmp")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("USER=alice\nTTY=pts/0\n", ("pts/0", "alice")),
        ("USER=alice\nTTY=/dev/pts/0\nCLASS=user-early\n", ("pts/0", "alice")),
        ("USER=alice\nTTY=tty2\nSTATE=closing\n", None),
        ("USER=gdm\nTTY=tty1\nCLASS=greeter\n", None),
        ("USER=alice\nCLASS=manager\n", None),
        ("USER=alice\n", None),
        ("TTY=tty1\n", None),
        ("", None),
        ("=\n\n====", None),
    ],
)
def test_sessions(text: str, expected: tuple[str, str] | None) -> None:
    assert parse_session(text) == expected


@given(st.binary(max_size=2000), st.sampled_from([384, 400]))
def test_any_bytes_are_read(data: bytes, octets: int) -> None:
    for _, line, user in parse_utmp(data, octets):
        assert "\0" not in line + user


@given(st.text(max_size=500))
def test_any_text_is_read(text: str) -> None:
    parse_session(text)
