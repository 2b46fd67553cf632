"""Units of systemd, and that they fit each other, the configuration beside them and the program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from relay.cli.commands import cli
from relay.config import Config, load
from relay.config.words import size_text
from relay.core.values import parse_duration, parse_size
from relay.listeners.udp import UdpListener
from tests.deploy.files import DEPLOY, SYSTEMD, adapted, need, one, unit

SERVICE = SYSTEMD / "relay.service"
SOCKETS = sorted(SYSTEMD.glob("*.socket"))
SYSUSERS = DEPLOY / "sysusers.d/relay.conf"
TMPFILES = DEPLOY / "tmpfiles.d/relay.conf"

LINGER_SECONDS = 1.0  # what a stop may take beyond drain_max: a hanging thread is then left
EXPOSURE_MAX = 20  # tenths; "OK" ends at 49, what is left here is what a network service needs


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(str(adapted("systemd", tmp_path)))


@pytest.fixture
def whole_config(tmp_path: Path) -> Config:
    return load(str(adapted("systemd", tmp_path, examples=True)))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a program that exists on this host."""
    directory = tmp_path / "units"
    directory.mkdir()
    for path in [SERVICE, *SOCKETS]:
        text = path.read_text().replace("/opt/relay/bin/relay", sys.executable)
        (directory / path.name).write_text(text)
    return directory


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("systemd-analyze"), *arguments], capture_output=True, text=True, check=False
    )


# -- what systemd says


def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    done = analyze("verify", "--recursive-errors=no", *sorted(installed.iterdir()))
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_systemd_finds_nothing_wrong_with_two_relays_that_share_their_ports(
    installed: Path,
) -> None:
    """As docs/operations.md says: from the same files, with these differences."""
    for path in [
        installed / it for it in ("relay.service", "relay-tcp.socket", "relay-udp.socket")
    ]:
        text = path.read_text().replace("/etc/relay/relay.toml", "/etc/relay/%i.toml")
        text = re.sub(r"(relay-(?:udp|tcp))\.socket", r"\1@%i.socket", text)
        text = re.sub(r"^(\w+Directory=(?:/var/lib/)?relay)$", r"\1/%i", text, flags=re.MULTILINE)
        text = text.replace("Service=relay.service", "Service=relay@%i.service\nReusePort=yes")
        assert text.count("%i") == (9 if path.suffix == ".service" else 1)
        for name in "ab":
            (installed / f"{path.stem}@{name}{path.suffix}").write_text(text)
    done = analyze("verify", "--recursive-errors=no", *sorted(installed.glob("*@*")))
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_would_find_a_mistake(installed: Path) -> None:
    service = installed / "relay.service"
    service.write_text(service.read_text().replace("ProtectSystem=", "ProtectSystm="))
    assert "ProtectSystm" in analyze("verify", "--recursive-errors=no", service).stderr


def test_the_service_is_well_locked_in(installed: Path) -> None:
    done = analyze(
        "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE_MAX}",
        installed / "relay.service",
    )  # fmt: skip
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze has no --offline (systemd 250)")
    assert done.returncode == 0, done.stdout


# -- sockets and configuration


def test_the_sockets_of_the_units_are_those_of_the_configuration(
    config: Config, whole_config: Config
) -> None:
    keys = [unit(path) for path in SOCKETS]
    names = [one(each, "FileDescriptorName") for each in keys]
    assert len(set(names)) == len(names)

    def inherited(config: Config) -> set[str]:
        endpoints = [it for listener in config.listeners.values() for it in listener.endpoints()]
        return {it.address.removeprefix("fd:") for it in endpoints if it.address.startswith("fd:")}

    assert inherited(whole_config) == set(names)
    # What is switched on is what the service asks for.
    asked = one(unit(SERVICE), "Sockets").split()
    enabled = {one(unit(SYSTEMD / name), "FileDescriptorName") for name in asked}
    assert inherited(config) == enabled
    assert one(unit(SERVICE), "Also").split() == asked


def test_a_socket_is_of_the_kind_that_its_listener_takes(whole_config: Config) -> None:
    kinds = {
        it.address: it.kind
        for listener in whole_config.listeners.values()
        for it in listener.endpoints()
    }
    for path in SOCKETS:
        keys = unit(path)
        kind = kinds[f"fd:{one(keys, 'FileDescriptorName')}"]
        streams = "ListenStream" in keys
        assert streams == (kind in ("tcp", "unix-stream"))
        assert streams != ("ListenDatagram" in keys)
        addresses = keys["ListenStream" if streams else "ListenDatagram"]
        assert all(it.startswith("/") == kind.startswith("unix") for it in addresses)


def test_sockets_belong_to_the_service_and_are_there_early() -> None:
    for path in SOCKETS:
        keys = unit(path)
        assert one(keys, "Service") == SERVICE.name
        assert one(keys, "WantedBy") == "sockets.target"


def test_port_514_of_both_families_and_no_family_twice() -> None:
    for name, key in (("relay-udp", "ListenDatagram"), ("relay-tcp", "ListenStream")):
        keys = unit(SYSTEMD / f"{name}.socket")
        assert keys[key] == ["0.0.0.0:514", "[::]:514"]
        assert one(keys, "BindIPv6Only") == "ipv6-only"


def test_the_receive_buffer_is_as_large_as_the_listener_wants_it() -> None:
    octets = UdpListener.model_fields["receive_buffer"].default
    buffer = one(unit(SYSTEMD / "relay-udp.socket"), "ReceiveBuffer")
    assert parse_size(f"{buffer}iB") == octets, size_text(octets)


# -- the service


def test_the_command_is_one_that_the_program_has() -> None:
    program, *arguments = shlex.split(one(unit(SERVICE), "ExecStart"))
    assert Path(program).name == "relay"
    assert isinstance(cli, click.Group)
    name, *options = arguments
    context = cli.commands[name].make_context(name, options)
    assert context.params["config"] == "/etc/relay/relay.toml"


def test_a_stop_has_more_time_than_the_relay_takes(config: Config) -> None:
    keys = unit(SERVICE)
    limit = parse_duration(one(keys, "TimeoutStopSec"))
    assert limit > config.relay.drain_max + LINGER_SECONDS
    assert one(keys, "KillMode") == "mixed"


def test_the_service_manager_hears_of_us_and_can_reload() -> None:
    keys = unit(SERVICE)
    assert one(keys, "Type") == "notify"  # notify-reload needs systemd 253
    assert one(keys, "ExecReload") == "kill -HUP $MAINPID"
    assert parse_duration(one(keys, "WatchdogSec")) >= 10
    assert one(keys, "Restart") == "on-failure"
    assert one(keys, "StartLimitIntervalSec") == "0"


def test_the_relay_writes_only_where_the_service_lets_it() -> None:
    keys = unit(SERVICE)
    assert one(keys, "ProtectSystem") == "strict"
    allowed = [
        f"{base}/{one(keys, key)}"
        for key, base in (
            ("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log"),
            ("RuntimeDirectory", "/run"),
        )
    ]  # fmt: skip
    text = (SYSTEMD / "relay.toml").read_text()
    written = re.findall(r'(?m)^(?:state_dir|path|base) = "(.*?)"', text)
    assert written
    for path in written:
        assert any(path == it or path.startswith(f"{it}/") for it in allowed), path
    assert one(keys, "WorkingDirectory") in allowed


# -- user and directories


def test_the_user_of_the_service_is_made_and_owns_its_directories() -> None:
    keys = unit(SERVICE)
    user = one(keys, "User")
    assert one(keys, "Group") == user
    (line,) = [it for it in SYSUSERS.read_text().splitlines() if not it.startswith("#")]
    kind, name, number, _, home, shell = shlex.split(line)
    assert (kind, name, number) == ("u", user, "-")  # any free number
    assert (home, shell) == (one(keys, "WorkingDirectory"), "/usr/sbin/nologin")
    made = {
        path: (mode, owner, group)
        for kind, path, mode, owner, group, _ in (
            it.split() for it in TMPFILES.read_text().splitlines() if not it.startswith("#")
        )
        if kind == "d"
    }
    assert made == {
        "/etc/relay": ("0750", "root", user),
        "/var/lib/relay": (one(keys, "StateDirectoryMode"), user, user),
        "/var/log/relay": (one(keys, "LogsDirectoryMode"), user, user),
    }


def test_systemd_makes_user_and_directories(tmp_path: Path) -> None:
    sysusers, tmpfiles = need("systemd-sysusers"), need("systemd-tmpfiles")
    if os.geteuid():
        pytest.skip("owners are given by root only")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for program, path in ((sysusers, SYSUSERS), (tmpfiles, TMPFILES)):
        create = ["--create"] if program == tmpfiles else []
        done = subprocess.run(
            [program, f"--root={root}", *create, path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    (entry,) = [it for it in (root / "etc/passwd").read_text().splitlines() if "relay" in it]
    name, _, uid, gid, *_ = entry.split(":")
    assert name == "relay"
    status = (root / "var/log/relay").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (int(uid), int(gid), 0o750)
    status = (root / "etc/relay").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, int(gid), 0o750)


def test_systemd_finds_nothing_wrong_with_the_drop_in_for_the_kernel_s_log(
    installed: Path,
) -> None:
    """It adds one capability to those of the service, and a device."""
    drop_in = SYSTEMD / "relay-kmsg.conf"
    directory = installed / "relay.service.d"
    directory.mkdir()
    (directory / drop_in.name).write_bytes(drop_in.read_bytes())
    service = installed / "relay.service"
    done = analyze("verify", "--recursive-errors=no", service)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)
    (directory / drop_in.name).write_text("[Service]\nDeviceAlow=/dev/kmsg r\n")
    assert "DeviceAlow" in analyze("verify", "--recursive-errors=no", service).stderr
    keys, before = unit(drop_in), unit(SYSTEMD / "relay.service")
    for name in ("CapabilityBoundingSet", "AmbientCapabilities"):
        assert one(keys, name).split() == [*one(before, name).split(), "CAP_SYSLOG"]
    assert one(keys, "DeviceAllow") == "/dev/kmsg r"
