"""Faults of system calls, as strace(1) injects them."""

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path


def failing(log: Path, *faults: str, path: Path | None = None) -> Sequence[str]:
    """A launcher: `faults` like "fdatasync:error=EIO:when=3", only on `path` when it is given.

    The process launched stays the parent's own child, so its signals and exit code are as ever.
    """
    calls = ",".join(dict.fromkeys(fault.partition(":")[0] for fault in faults))
    only = ("-P", str(path)) if path else ()  # --seccomp-bpf does nothing together with -D
    injections = [word for fault in faults for word in ("-e", f"inject={fault}")]
    return ("strace", "-D", "-f", "-qq", *only, "-o", str(log), "-e", f"trace={calls}", *injections)


@cache
def cannot_inject() -> str:
    """Why no faults can be injected here; empty when they can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    command = [*failing(Path("/dev/null"), "sync:error=EIO"), "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"strace does not work here: {tried.stderr}" if tried.returncode else ""


class Launcher:
    """A launcher whose faults may be other ones at the next start."""

    def __init__(self, directory: Path) -> None:
        self._script = directory / "launch"
        self._log = directory / "strace.log"
        self.inject()

    @property
    def words(self) -> Sequence[str]:
        return ("sh", str(self._script))

    def inject(self, *faults: str) -> None:
        """From the next start on; without any, there are none."""
        words = failing(self._log, *faults) if faults else ()
        self._script.write_text(shlex.join(["exec", *words]) + ' "$@"\n')
