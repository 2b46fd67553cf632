"""Rotation of the files that Relay writes: a real logrotate, and a systemctl that takes notes."""

import getpass
import grp
import os
import subprocess
from pathlib import Path

from relay.config import load
from relay.destinations.file import FileDestination
from tests.deploy.files import DEPLOY, adapted, need

LOGROTATE = DEPLOY / "logrotate/relay"


def rotate(directory: Path, *, active: bool) -> list[str]:
    """Rotate now; returns what systemctl was asked for."""
    program = need("logrotate")
    text = LOGROTATE.read_text().replace("/var/log/relay", str(directory / "log"))
    user, group = getpass.getuser(), grp.getgrgid(os.getegid()).gr_name
    configuration = directory / "logrotate.conf"
    configuration.write_text(text.replace("su relay relay", f"su {user} {group}"))
    configuration.chmod(0o600)
    notes = directory / "notes"
    notes.write_text("")
    systemctl = directory / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {notes}\nexit {0 if active else 3}\n')
    systemctl.chmod(0o700)
    done = subprocess.run(
        [program, "--force", "--state", directory / "state", configuration],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return notes.read_text().splitlines()


def log_directory(tmp_path: Path) -> Path:
    log = tmp_path / "log"
    log.mkdir(mode=0o750)
    return log


def test_files_are_moved_and_the_relay_opens_new_ones(tmp_path: Path) -> None:
    log = log_directory(tmp_path)
    for name in ("messages.log", "edge01/messages.log"):
        (log / name).parent.mkdir(mode=0o750, exist_ok=True)
        (log / name).write_text("one\n")
    asked = rotate(tmp_path, active=True)
    # Once for all files.
    assert asked == ["--quiet is-active relay.service", "reload relay.service"]
    # None is made: the mode of a new one is the configuration's.
    assert not (log / "messages.log").exists()
    assert (log / "messages.log.1").read_text() == "one\n"
    assert (log / "edge01/messages.log.1").read_text() == "one\n"


def test_a_file_is_compressed_when_nobody_writes_it_any_more(tmp_path: Path) -> None:
    log = log_directory(tmp_path)
    for text in ("one\n", "two\n"):
        (log / "messages.log").write_text(text)
        rotate(tmp_path, active=True)
    assert sorted(it.name for it in log.iterdir()) == ["messages.log.1", "messages.log.2.gz"]
    assert (log / "messages.log.1").read_text() == "two\n"


def test_a_relay_that_does_not_run_is_left_alone(tmp_path: Path) -> None:
    (log_directory(tmp_path) / "messages.log").write_text("one\n")
    assert rotate(tmp_path, active=False) == ["--quiet is-active relay.service"]


def test_the_file_of_the_configuration_is_rotated(tmp_path: Path) -> None:
    config = load(str(adapted("systemd", tmp_path)))
    paths = [it.path for it in config.destinations.values() if isinstance(it, FileDestination)]
    assert paths
    log = log_directory(tmp_path)
    for path in paths:
        assert Path(path).parent == log
        Path(path).write_text("one\n")
    rotate(tmp_path, active=True)
    assert not [path for path in paths if Path(path).exists()]
