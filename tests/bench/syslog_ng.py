"""syslog-ng, installed or unpacked: Debian lets only one of it and rsyslog be installed."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bench.program import HERE, Program

HELP = "A directory into which the Debian packages of syslog-ng were unpacked."


def prefix(unpacked: Path | None) -> Sequence[str] | None:
    """What stands before a name of its programs to start them; None when it is not there."""
    if unpacked is None:
        return () if shutil.which("syslog-ng") else None
    root = unpacked.resolve()
    libraries = [root / "usr/lib/syslog-ng", *root.glob("usr/lib/*-linux-gnu*"),
                 *root.glob("lib/*-linux-gnu*")]  # fmt: skip
    path = ":".join(map(str, (root / "usr/sbin", os.environ["PATH"])))
    return ("env", f"PATH={path}", f"LD_LIBRARY_PATH={':'.join(map(str, libraries))}")


def modules(unpacked: Path | None) -> Sequence[str]:
    """The options that lead it to its modules."""
    if unpacked is None:
        return ()
    return [f"--module-path={path}" for path in unpacked.resolve().glob("usr/lib/syslog-ng/3.*")]


def command(prefix: Sequence[str], unpacked: Path | None) -> tuple[str, ...]:
    """What starts the daemon."""
    return (
        *prefix, "syslog-ng", "--foreground", "--no-caps", "--cfgfile", "@configuration@",
        "--persist-file", "@directory@/persist", "--control", "@directory@/control",
        "--pidfile", "@directory@/pid", *modules(unpacked),
    )  # fmt: skip


_DISK_BUFFER = """disk-buffer(reliable(yes) disk-buf-size(8589934592) mem-buf-size(163840000)
            dir("@directory@"))"""


def durable_syslog_ng(unpacked: Path | None) -> Program | None:
    """With a reliable disk buffer; None when it is not there."""
    return _program(unpacked, "syslog-ng, reliable disk-buffer", "tcp", _DISK_BUFFER)


def plain_syslog_ng(unpacked: Path | None) -> Program | None:
    """TCP to TCP, with its queue in memory: as much of it as there may be on the way."""
    return _program(unpacked, "syslog-ng", "tcp", "log-fifo-size(200000)")


def datagram_syslog_ng(unpacked: Path | None) -> Program | None:
    """UDP to TCP. It asks for the receive buffer in a way that `net.core.rmem_max` limits."""
    return _program(unpacked, "syslog-ng", "udp", "log-fifo-size(200000)")


def _program(unpacked: Path | None, name: str, transport: str, queue: str) -> Program | None:
    before = prefix(unpacked)
    if before is None:
        return None
    flags = "so-rcvbuf(16777216)" if transport == "udp" else "log-iw-size(100000)"
    return Program(
        name,
        HERE / "syslog-ng.conf",
        command(before, unpacked),
        ((transport, transport),),
        (("port", f"@{transport}@"), ("transport", transport), ("source", flags), ("queue", queue)),
    )
