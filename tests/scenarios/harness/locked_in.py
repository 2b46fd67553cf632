"""Scenarios with a relay that has given up root and is locked in: RELAY_TEST_SANDBOX=1.

    RELAY_TEST_SANDBOX=1 pytest tests/scenarios --basetemp=/var/tmp/relay-scenarios

Without it relays run as who runs the tests, locked in as far as the kernel can.
"""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

USER = "nobody"
LOCKED_IN = bool(os.environ.get("RELAY_TEST_SANDBOX"))


def locked_in(config: str) -> str:
    """The configuration, with a user to become where that is asked for."""
    if not LOCKED_IN or re.search(r"^(user|sandbox) *=", config, re.MULTILINE):
        return config
    keys = f'user = "{USER}"\nsandbox = "require"\n'
    if "[relay]\n" in config:
        return config.replace("[relay]\n", f"[relay]\n{keys}", 1)
    return f"[relay]\n{keys}{config}"


def give_terminals(config: str) -> None:
    """Those that a configuration names, as login(1) does."""
    for terminal in re.findall(r"/dev/pts/\d+", config) if LOCKED_IN else ():
        os.chown(terminal, pwd.getpwnam(USER).pw_uid, -1)


def give_away(directory: Path) -> None:
    """Give what is in a directory to the user, who gets there, too."""
    entry = pwd.getpwnam(USER)
    for path in [directory, *directory.rglob("*")]:
        if path.name == "logrotate.conf":
            continue  # it takes root's alone
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    for path in directory.parents:
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)


def need_another_user() -> None:
    """Skip where nobody can be become, or could not run this Python."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    done = subprocess.run(
        [sys.executable, "-c", "import relay.cli.run"], user=USER, check=False, cwd="/",
        capture_output=True, env={"PYTHONDONTWRITEBYTECODE": "1"},
    ) if os.access(sys.executable, os.X_OK) and _is_open(sys.executable) else None  # fmt: skip
    if done is None or done.returncode:
        pytest.skip(f"{USER} cannot run {sys.executable}")


def _is_open(path: str) -> bool:
    """Whether everybody gets to a file."""
    real = Path(path).resolve()
    return all(it.stat().st_mode & 0o001 for it in [real, *real.parents])
