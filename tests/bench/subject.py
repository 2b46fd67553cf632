"""The programs of the story of loss, each with all that its manual advises against loss."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import relay
from tests.bench import syslog_ng
from tests.bench.claims import Claims, of_relay, of_rsyslog, of_syslog_ng
from tests.bench.program import HERE, RSYSLOG, Program, Running

RELAY_MODES = (
    ("sent", 'confirm = "sent"'),
    ("acked", 'confirm = "acked"\nreplay = 0'),
    ("acked, replay 256KiB", 'confirm = "acked"\nreplay = "256KiB"'),
    ("epoch", 'confirm = "epoch"'),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One program in one mode."""

    name: str
    version: str
    about: str  # the mode, or what its configuration does against loss
    program: Program
    claims: Callable[[Running], Claims]
    waiting: str  # the word under which it counts what it has yet to deliver
    values: Mapping[str, str] = field(default_factory=dict)  # of its template


def subjects(unpacked: Path | None) -> Sequence[Subject]:
    """All that are installed, peers first."""
    found = [_rsyslog(), _syslog_ng(unpacked), *relay_modes()]
    return [subject for subject in found if subject]


def relay_modes() -> Sequence[Subject]:
    program = Program(
        "relay",
        HERE / "loss.toml",
        (sys.executable, "-m", "relay", "run", "--config", "@configuration@"),
        (("tcp", "tcp"), ("tcp", "admin")),
    )
    return [
        Subject(
            "Relay", relay.__version__, about, program,
            lambda running: of_relay(running.ports["admin"]), "held", {"mode": keys},
        )
        for about, keys in RELAY_MODES
    ]  # fmt: skip


def _rsyslog() -> Subject | None:
    if RSYSLOG.missing():
        return None
    return Subject(
        "rsyslog",
        _said(RSYSLOG.command[0], "-v").split()[1],
        "omfwd, disk-assisted queue, endless retry",
        Program("rsyslog", HERE / "loss-rsyslog.conf", RSYSLOG.command, (("tcp", "tcp"),)),
        lambda running: of_rsyslog(running.directory / "stats"),
        "queued",
    )


def _syslog_ng(unpacked: Path | None) -> Subject | None:
    prefix = syslog_ng.prefix(unpacked)
    if prefix is None:
        return None
    daemon, control = (*prefix, "syslog-ng"), (*prefix, "syslog-ng-ctl")
    command = syslog_ng.command(prefix, unpacked)
    version = _said(*daemon, "--version", *syslog_ng.modules(unpacked))
    return Subject(
        "syslog-ng",
        version.partition("(")[2].partition(")")[0],
        "disk-buffer(reliable(yes)), flow-control",
        Program("syslog-ng", HERE / "loss-syslog-ng.conf", command, (("tcp", "tcp"),)),
        lambda running: of_syslog_ng(
            (*control, "stats", "--control", str(running.directory / "control"))
        ),
        "queued",
    )


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
