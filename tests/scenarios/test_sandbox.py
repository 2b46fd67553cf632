"""A relay that has given up root and is locked in goes on with all it does."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.locked_in import USER, give_away, need_another_user
from tests.scenarios.harness.waiting import until
from tests.system.lockedin import need

ALL = """
[relay]
user = "nobody"
sandbox = "require"
state_dir = "state"
drain_max = "2s"
[listeners.net-udp]
type = "udp"
listen = ["127.0.0.1:@udp@"]
[listeners.net-tcp]
type = "tcp"
listen = ["127.0.0.1:@tcp@"]
[listeners.local]
type = "unix"
path = "@directory@/run/log"
[listeners.follow]
type = "file"
path = "@directory@/follow/*.log"
[destinations.file]
type = "file"
path = "@directory@/logs/all.log"
[destinations.hosts]
type = "file"
path = "@directory@/hosts/{listener}/x.log"
[destinations.next]
type = "tcp"
address = "localhost:@next@"
[destinations.fifo]
type = "fifo"
path = "@directory@/run/fifo"
mode = "0600"
[destinations.program]
type = "program"
command = ["sh", "-c", "cat >>@directory@/run/program"]
[destinations.ring]
type = "memory"
[pipes.file]
from = "*"
to = "file"
[pipes.hosts]
from = "*"
to = "hosts"
[pipes.next]
from = "*"
to = "next"
spool = "always"
[pipes.fifo]
from = "*"
to = "fifo"
[pipes.program]
from = "*"
to = "program"
[pipes.ring]
from = "*"
to = "ring"
"""
PIPES = ("file", "hosts", "next", "fifo", "program", "ring")


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that another user gets to; pytest's own is closed to others."""
    need_another_user()
    directory = Path(tempfile.mkdtemp(dir="/var/tmp"))
    directory.chmod(0o755)
    for name in ("logs", "hosts", "run", "follow", "other"):
        (directory / name).mkdir()
    give_away(directory)
    yield directory
    shutil.rmtree(directory)


def status(pid: int) -> Mapping[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: values.split() for name, _, values in (it.partition(":") for it in lines)}


def test_every_listener_and_destination_as_another_user_locked_in(
    directory: Path, prepare: Prepare
) -> None:
    """All at once: received, stored, spooled, rotated, reloaded; and what a reload cannot have."""
    need("landlock")
    need("seccomp")
    with socket.create_server(("127.0.0.1", 0)) as collector:
        values = {"next": collector.getsockname()[1]}
        relay = prepare(ALL, values, directory=directory)
        give_away(directory)
        relay.start()
        user = pwd.getpwnam(USER)
        found = status(relay.pid)
        assert (found["Uid"], found["Gid"]) == ([str(user.pw_uid)] * 4, [str(user.pw_gid)] * 4)
        assert found["Groups"] == [str(user.pw_gid)]
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(found[name][0], 16) == 0
        assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
        until(lambda: (directory / "run/fifo").exists(), "a named pipe")
        reader = os.open(directory / "run/fifo", os.O_RDONLY | os.O_NONBLOCK)
        _send(relay.port("udp"), relay.port("tcp"), directory)
        relay.until(
            lambda books: all(books["pipes"][name]["received"] == 4 for name in PIPES),
            "all received",
        )
        relay.until(
            lambda books: all(not books["pipes"][name]["held"]["memory"] for name in PIPES),
            "delivered",
        )
        assert (directory / "logs/all.log").read_text().count("\n") == 4
        assert sorted(it.name for it in (directory / "hosts").iterdir()) == [
            "follow", "local", "net-tcp", "net-udp",
        ]  # fmt: skip
        assert os.read(reader, 65536).count(b"\n") == 4
        os.close(reader)
        until(lambda: (directory / "run/program").read_text().count("\n") == 4, "program")

        (directory / "logs/all.log").rename(directory / "logs/all.log.1")
        relay.reload()
        _send(relay.port("udp"), relay.port("tcp"), directory)
        until(lambda: (directory / "logs/all.log").exists(), "a new file after the rotation")
        relay.write(ALL.replace("/logs/all.log", "/other/all.log"))
        relay.reload()
        told = f"destinations.file.path: {directory}/other is outside of what the process is locked"
        until(lambda: told in relay.log, "the reload is refused")
        code, ledger = relay.get("/ledger")
        assert code == 200
        assert b'"seccomp": true' in ledger
        assert relay.stop() == 0
    assert "traceback" not in relay.log.lower()


def _send(udp: int, tcp: int, directory: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"<13>Nov 28 16:00:00 host app: udp", ("127.0.0.1", udp))
    with socket.create_connection(("127.0.0.1", tcp)) as sock:
        sock.sendall(b"<13>Nov 28 16:00:00 host app: tcp\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"<13>Nov 28 16:00:00 app: unix", str(directory / "run/log"))
    with (directory / "follow/app.log").open("a") as file:
        file.write("followed\n")


ONE = """
[relay]
user = "nobody"
sandbox = "require"
state_dir = "state"
[admin]
listen = "127.0.0.1:@admin@"
[listeners.net]
type = "udp"
listen = ["127.0.0.1:@udp@"]
[destinations.ring]
type = "memory"
[pipes.all]
from = "*"
to = "ring"
"""
MORE = """
[listeners.relp]
type = "relp"
listen = ["127.0.0.1:@relp@"]
[listeners.tcp]
type = "tcp"
listen = ["127.0.0.1:@tcp@"]
[destinations.state]
type = "file"
path = "@directory@/state/all.log"
[pipes.more]
from = "*"
to = "state"
match = { regex = "t.p" }
"""


def test_a_reload_brings_types_and_patterns_that_the_start_had_not(
    directory: Path, prepare: Prepare
) -> None:
    """What they need of Python is imported only then: by another user, and locked in."""
    need("landlock")
    need("seccomp")
    relay = prepare(ONE, directory=directory)
    give_away(directory)
    relay.start()
    loaded = Path(f"/proc/{relay.pid}/maps")
    assert "_re2" not in loaded.read_text()
    relay.write(ONE + MORE)
    relay.reload()
    assert "_re2" in loaded.read_text()
    until(lambda: relay.get("/readyz")[0] == 200, "the new listeners are bound")
    with socket.create_connection(("127.0.0.1", relay.port("tcp"))) as sock:
        sock.sendall(b"<13>Nov 28 16:00:00 host app: tcp\n<13>Nov 28 16:00:00 host app: else\n")
    written = directory / "state/all.log"
    until(lambda: written.exists() and written.read_text().count("tcp") == 1, "it is written")
    with socket.create_connection(("127.0.0.1", relay.port("relp"))) as sock:
        sock.sendall(b"1 open 49 relp_version=0\nrelp_software=test\ncommands=syslog\n")
        assert b"200 OK" in sock.recv(4096)
    assert relay.stop() == 0
    assert "else" not in written.read_text()


PLAIN = """
[relay]
sandbox = "@sandbox@"
[listeners.net]
type = "udp"
listen = ["127.0.0.1:@udp@"]
[destinations.ring]
type = "memory"
[pipes.all]
from = "*"
to = "ring"
"""


@pytest.mark.parametrize(("sandbox", "mode"), [("require", "2"), ("auto", "2"), ("off", "0")])
def test_the_sandbox_is_closed_unless_it_is_off(sandbox: str, mode: str, prepare: Prepare) -> None:
    """Also for root, which stays what it is without a user to become, and says so."""
    need("landlock")
    need("seccomp")
    relay = prepare(PLAIN, {"sandbox": sandbox})
    relay.start()
    assert status(relay.pid)["Seccomp"] == [mode]
    told = "sandbox: off" if sandbox == "off" else "sandbox: landlock on, seccomp on"
    until(lambda: told in relay.log, "the log says what is on")
    assert ("running as root with all its privileges" in relay.log) == (os.geteuid() == 0)
    assert relay.stop() == 0


def test_what_is_required_and_missing_ends_the_start(prepare: Prepare, tmp_path: Path) -> None:
    """One sentence, exit code 1; with "auto" it is one warning."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "landlockpy.py").write_text("raise ImportError('hidden')")
    environ = {"PYTHONPATH": str(hidden)}
    relay = prepare(PLAIN, {"sandbox": "require"}, environ=environ)
    relay.start_unready()
    assert relay.wait() == 1
    assert "relay.sandbox is required, and cannot be had: landlockpy is not installed" in relay.log
    assert "Traceback" not in relay.log


def test_with_auto_what_is_missing_is_one_warning(prepare: Prepare, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "landlockpy.py").write_text("raise ImportError('hidden')")
    relay = prepare(PLAIN, {"sandbox": "auto"}, environ={"PYTHONPATH": str(hidden)})
    relay.start()
    told = "not as closed as it could be: landlockpy is not installed"
    until(lambda: relay.log.count(told) == 1, "one warning")
    assert relay.stop() == 0


def test_a_state_dir_in_which_a_socket_is_bound_first_is_the_users(
    directory: Path, prepare: Prepare
) -> None:
    """Started as root for the first time, with `log.sock` in a `state_dir` that is not there."""
    relay = prepare(
        f'[relay]\nuser = "{USER}"\nsandbox = "auto"\nstate_dir = "state"\n'
        '[listeners.log]\ntype = "unix"\npath = "state/log.sock"\n'
        '[destinations.ring]\ntype = "memory"\n[pipes.all]\nfrom = "*"\nto = "ring"\n',
        directory=directory,
    )
    give_away(directory)
    relay.start()
    assert (directory / "state").stat().st_uid == pwd.getpwnam(USER).pw_uid
    assert relay.stop() == 0


def test_only_root_becomes_another_user(directory: Path) -> None:
    (directory / "relay.toml").write_text(
        '[relay]\nuser = "daemon"\nstate_dir = "state"\n[admin]\nlisten = "off"\n'
        '[listeners.internal]\ntype = "internal"\n[destinations.ring]\ntype = "memory"\n'
        '[pipes.all]\nfrom = "*"\nto = "ring"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "relay", "run", "--config", "relay.toml"],
        cwd=directory, user=USER, group=pwd.getpwnam(USER).pw_gid, extra_groups=[],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "relay.user: daemon: only root can become another user" in done.stderr


def test_the_helper_that_dies_is_told_by_its_pipes_alone(prepare: Prepare, tmp_path: Path) -> None:
    """The program's pipe is down and says why; the other one goes on."""
    need("seccomp")
    config = PLAIN + (
        '[destinations.cat]\ntype = "program"\ncommand = ["sh", "-c", "cat >/dev/null"]\n'
        '[pipes.cat]\nfrom = "*"\nto = "cat"\n'
    )
    relay = prepare(config, {"sandbox": "require"})
    relay.start()
    relay.until(lambda books: books["pipes"]["cat"]["state"] == "up", "the program runs")
    text = Path(f"/proc/{relay.pid}/task/{relay.pid}/children").read_text()
    (helper,) = [int(it) for it in text.split()]
    os.kill(helper, signal.SIGKILL)
    relay.until(
        lambda books: "helper that starts programs" in books["pipes"]["cat"]["down_reason"], "told"
    )
    assert relay.ledger()["pipes"]["all"]["state"] != "down"
    assert relay.stop() == 0
