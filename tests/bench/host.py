"""The machine of a measurement, as far as it explains the figures."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.bench.program import RSYSLOG


def host() -> dict[str, str]:
    return {
        "processors": f"{len(os.sched_getaffinity(0))} × {_processor()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "trio": version("trio"),
        "rsyslog": _rsyslog(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rsyslog() -> str:
    if RSYSLOG.missing():
        return "missing"
    said = subprocess.run(
        [RSYSLOG.command[0], "-v"], capture_output=True, text=True, check=True
    ).stdout
    return said.split()[1]
