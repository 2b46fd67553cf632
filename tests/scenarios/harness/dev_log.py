"""A `/dev/log` of one's own: programs that know no other path are started where it leads to us."""

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_SCRIPT = 'mount --bind "$0" /dev && exec "$@"'


def dev_log(directory: Path, socket: Path) -> Sequence[str]:
    """What stands before a command for which `/dev/log` is to be this socket."""
    dev = directory / "dev"
    if not dev.exists():
        dev.mkdir()
        os.mknod(dev / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    link = dev / "log"
    link.unlink(missing_ok=True)
    link.symlink_to(socket)
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, str(dev))


@cache
def cannot_mount() -> str:
    """Why there is no `/dev/log` of one's own here; empty when there is."""
    if not shutil.which("unshare"):
        return "unshare (util-linux) is not installed"
    tried = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False
    )
    return f"mounts are not permitted here: {tried.stderr.decode().strip()}" * bool(
        tried.returncode
    )
