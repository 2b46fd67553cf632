"""The files of TLS settings. Everything here blocks, and runs in threads."""

import os
import stat
from typing import NamedTuple

from relay.system.ports import TlsUnusable

FILE_MAX = 4 << 20  # octets; the bundle of a whole system is 220 KB
PASSPHRASE_MAX = 1024
CREDENTIAL = "credential:"


class Stamp(NamedTuple):
    """What changes when a file does."""

    inode: int
    octets: int
    modified_ns: int


def resolve(name: str) -> str:
    """The path of a file, or of a credential of the service manager (systemd.exec(5)).

    Raises:
        TlsUnusable: there are no credentials.
    """
    if not name.startswith(CREDENTIAL):
        return name
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        raise TlsUnusable(f"{name}: the service manager gave no credentials")
    return os.path.join(directory, name.removeprefix(CREDENTIAL))


def stamp_of(name: str) -> Stamp | None:
    """None: there is no such file now."""
    try:
        status = os.stat(resolve(name))
    except (OSError, TlsUnusable):
        return None
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def read(name: str, octets_max: int = FILE_MAX) -> bytes:
    """The content of a file.

    Raises:
        TlsUnusable: missing, unreadable, empty, or larger than anything that belongs here.
    """
    path = resolve(name)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise TlsUnusable(f"{name}: is not a file")  # and might be waited for without end
        with open(path, "rb") as file:
            content = file.read(octets_max + 1)
    except OSError as exc:
        raise TlsUnusable(f"{name}: {_plain(exc)}") from exc
    if not content.strip():
        raise TlsUnusable(f"{name}: is empty")
    if len(content) > octets_max:
        raise TlsUnusable(f"{name}: is larger than {octets_max} octets")
    return content


def passphrase(name: str) -> bytes:
    """The first line of a file."""
    return read(name, PASSPHRASE_MAX).splitlines()[0]


def _plain(exc: OSError) -> str:
    text = exc.strerror or str(exc)
    return text[:1].lower() + text[1:]
