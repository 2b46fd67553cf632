"""syslog-ng, installed or unpacked: Debian lets only one of it and rsyslog be installed."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.syslog_ng import command, prefix
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import ROOT
from tests.scenarios.harness.waiting import until

_UNPACKED = ROOT / ".peers/syslog-ng"
UNPACKED = _UNPACKED if _UNPACKED.exists() else None
MISSING = "" if prefix(UNPACKED) is not None else "syslog-ng is not installed or unpacked"


@contextmanager
def running(directory: Path, config: str, port: int) -> Iterator[None]:
    """A syslog-ng that listens on this port while inside."""
    before = prefix(UNPACKED)
    assert before is not None
    (directory / "syslog-ng.conf").write_text(config)
    words = [
        word.replace("@configuration@", str(directory / "syslog-ng.conf")).replace(
            "@directory@", str(directory)
        )
        for word in command(before, UNPACKED)
    ]
    log = (directory / "syslog-ng.out").open("wb")
    with log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            until(lambda: _listens(port), "syslog-ng listens")
            yield
        finally:
            process.terminate()
            process.wait()
            print((directory / "syslog-ng.out").read_text(errors="replace")[-3000:])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
