"""The deployment files, read as far as the tests need it."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SYSTEMD = DEPLOY / "systemd"

Unit = dict[str, list[str]]  # all values of a key, in the order of the file


def need(tool: str) -> str:
    """Where a program of the host is; without it the test is skipped."""
    found = shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def unit(path: Path) -> Unit:
    """The keys of a unit file, sections left out: none of ours has a key in two of them."""
    keys: Unit = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#;[":
            key, _, value = line.partition("=")
            keys.setdefault(key, []).append(value)
    return keys


def one(keys: Unit, key: str) -> str:
    """The value of a key that has just one."""
    (value,) = keys[key]
    return value


def uncommented(text: str) -> str:
    """A configuration with all its examples switched on."""
    return re.sub(r"(?m)^# (?=\[|\w+ = )", "", text)


def adapted(name: str, directory: Path, *, examples: bool = False) -> Path:
    """`deploy/NAME/relay.toml` with the directories of a host replaced by a test's."""
    text = (DEPLOY / name / "relay.toml").read_text()
    text = re.sub(
        r'"/var/(lib|log)/relay', f'"{directory}/\\1', uncommented(text) if examples else text
    )
    path = directory / "relay.toml"
    path.write_text(text)
    return path
