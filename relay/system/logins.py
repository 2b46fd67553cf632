"""Who is logged in, and where: from the utmp file and from the sessions of systemd-logind.

Distributions are leaving utmp, whose times end in 2038; others have no logind. Either will do.
"""

import contextlib
import os
import platform
import re
import stat
import struct
from collections.abc import Iterator, Sequence

from relay.system.ports.local import Login

UTMP = "/run/utmp"
SESSIONS = "/run/systemd/sessions"
DEVICES = "/dev"

_OCTETS_MAX = 4 << 20  # of utmp: 10,000 logins
# struct utmp of utmp(5), as far as we read it: ut_type, ut_pid, ut_line, ut_id, ut_user.
_RECORD = struct.Struct("=hxxi32s4s32s")
# Its whole length: ut_session and ut_tv have 64 bits on these machines (bits/wordsize.h).
_RECORD_OCTETS = 400 if platform.machine() in ("aarch64", "loongarch64") else 384
_USER_PROCESS = 7
# The name of a device below /dev, which leads nowhere else: pts/3, tty1, ttyS0, hvc0.
_LINE = r"(?a)(?!ftp|uucp)[A-Za-z][\w-]*(?:/[\w-]+)*"


def logins(utmp: str = UTMP, sessions: str = SESSIONS, devices: str = DEVICES) -> Sequence[Login]:
    """Everybody who is logged in on a terminal, each terminal once.

    Raises:
        OSError: neither utmp nor logind is there, or they cannot be read.
    """
    found: list[tuple[str, str]] = []
    faults: list[OSError] = []
    for read, path in ((_utmp, utmp), (_sessions, sessions)):
        try:
            found += read(path)
        except OSError as fault:
            faults.append(fault)
    if len(faults) == 2:
        raise faults[0]
    by_path = {f"{devices}/{line}": user for line, user in found if re.fullmatch(_LINE, line)}
    return [
        Login(user, path, closed=not mode & stat.S_IWGRP)
        for path, user in by_path.items()
        if stat.S_ISCHR(mode := _mode(path))
    ]


def parse_utmp(data: bytes, record_octets: int = _RECORD_OCTETS) -> Iterator[tuple[int, str, str]]:
    """Process, line and user of each login in the file, whatever else is in it."""
    for start in range(0, len(data) - record_octets + 1, record_octets):
        kind, process, line, _, user = _RECORD.unpack_from(data, start)
        if kind == _USER_PROCESS and line and user.strip(b"\0"):
            yield process, _text(line), _text(user)


def parse_session(text: str) -> tuple[str, str] | None:
    """Line and user of a session file of logind; None where no person sits at a terminal."""
    keys = dict(line.partition("=")[::2] for line in text.splitlines())
    line, user = keys.get("TTY"), keys.get("USER")
    person = keys.get("CLASS", "user").startswith("user")  # no greeter, no service manager
    if not (line and user and person) or keys.get("STATE") == "closing":
        return None
    return line.removeprefix("/dev/"), user


def _mode(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_mode
    except OSError:  # has just logged out, or an X display (":0")
        return 0


def _utmp(path: str) -> list[tuple[str, str]]:
    with open(path, "rb") as file:
        data = file.read(_OCTETS_MAX)
    return [(line, user) for process, line, user in parse_utmp(data) if _lives(process)]


def _lives(process: int) -> bool:
    """False for the login of a process that has ended without telling utmp."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return process > 0


def _sessions(path: str) -> list[tuple[str, str]]:
    found = []
    for name in os.listdir(path):
        with contextlib.suppress(OSError):  # over in this moment
            if session := parse_session(_read(os.path.join(path, name))):
                found.append(session)
    return found


def _read(path: str) -> str:
    # Beside the sessions stand named pipes of logind's, which must not hold us up.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return ""
        return os.read(number, 64 << 10).decode(errors="replace")
    finally:
        os.close(number)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")
