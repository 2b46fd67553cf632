"""The positions of listeners in the state directory: a file each, replaced as a whole."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

DIRECTORY = "positions"
THREADS_MAX = 4  # those that a hung disk holds are nobody else's
OCTETS_MAX = 64 << 20  # a device put there by mistake ends, too


@dataclass(slots=True, eq=False, repr=False)
class PositionFiles:
    """Invariant: of the saves of one name that have begun, the latest is the one that stays."""

    state_dir: str
    awaited: Callable[[], str] = str  # why the state directory is not to be looked at yet
    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(THREADS_MAX))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: int = 0
    _saved: dict[str, int] = field(default_factory=dict)

    async def load(self, name: str) -> bytes | None:
        if reason := self.awaited():
            raise OSError(errno.EAGAIN, reason)
        load = partial(_load, self._path(name))
        return await trio.to_thread.run_sync(load, abandon_on_cancel=True, limiter=self.limiter)

    async def save(self, name: str, content: bytes) -> None:
        self._begun += 1
        save = partial(self._save, name, content, self._begun)
        await trio.to_thread.run_sync(save, abandon_on_cancel=True, limiter=self.limiter)

    def _save(self, name: str, content: bytes, number: int) -> None:
        with self._lock:
            if number > self._saved.get(name, 0):  # else this thread was abandoned, and hung
                _replace(self._path(name), content)
                self._saved[name] = number

    def _path(self, name: str) -> str:
        return os.path.join(self.state_dir, DIRECTORY, f"{name}.json")


def _load(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(OCTETS_MAX)
    except FileNotFoundError:
        os.stat(os.path.dirname(os.path.dirname(path)))  # a state directory that is not there yet
        return None


def _replace(path: str, content: bytes) -> None:
    directory = os.path.dirname(path)
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    new = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(new, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fdatasync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
