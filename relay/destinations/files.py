"""The files that one delivery has open: reopened when rotated away, the least used ones closed."""

import errno
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.errors import DestinationDown
from relay.core.outlet import Reopening
from relay.system.ports import Clock, Disk, File

log = logging.getLogger("relay.destinations.file")

TELL_SECONDS = 60.0  # a stranger may make up any number of paths that cannot be
CHECK_SECONDS = 1.0  # how long lines may go on into a file that was rotated away without a signal

# open(2): errors of this one path, which no waiting cures. EISDIR, ENOTDIR: something else has its
# name. ELOOP: a symbolic link. ENXIO: a named pipe that nobody reads, or a socket.
_PATH_ERRORS = frozenset({
    errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO,
})  # fmt: skip


class PathRefused(DestinationDown):
    """Nothing can ever be appended to this path below the base, though others may be well."""


@dataclass(slots=True, eq=False, repr=False)
class _Opened:
    file: File
    checked_at: float


@dataclass(slots=True, eq=False, repr=False)
class OpenFiles:
    """Invariant: at most `files_max` are open, the one used last at the end of `_opened`.

    A cancelled call of a port ends first, so no file gets lost between opening and keeping it.
    """

    disk: Disk
    clock: Clock
    reopening: Reopening
    base: str
    mode: int
    sync: bool
    files_max: int
    _opened: "OrderedDict[str, _Opened]" = field(default_factory=OrderedDict)
    _tell_after: float = -math.inf
    _calls: int = 0  # of `reopening`, those that have been followed

    async def append(self, path: str, texts: Sequence[bytes]) -> bytes:
        """As `File.append`, on the file that the path leads to now; the lines that are left over.

        Raises:
            DestinationDown: the file cannot be opened or written, or not be synced.
        """
        file = await self.current(path)
        try:
            octets = await file.append(texts, sync=self.sync)
        except OSError as fault:
            raise DestinationDown(self._text(path, fault)) from fault
        return b"" if octets == sum(map(len, texts)) else b"".join(texts)[octets:]

    async def current(self, path: str) -> File:
        """The open file of this path, after a look whether it has been rotated away.

        Raises:
            DestinationDown: it cannot be opened; `PathRefused` if that is for ever.
        """
        if self._calls != self.reopening.calls:
            await self.close()
        opened = self._opened.get(path)
        if opened and self.clock.now() - opened.checked_at >= CHECK_SECONDS:
            opened.checked_at = self.clock.now()
            if await opened.file.replaced():
                await self._opened.pop(path).file.close()
                opened = None
        if opened is None:
            opened = await self._open(path)
        self._opened.move_to_end(path)
        return opened.file

    async def close(self) -> None:
        """Close all; what is appended next is opened anew."""
        self._calls = self.reopening.calls
        while self._opened:
            _, opened = self._opened.popitem()
            await opened.file.close()

    async def _open(self, path: str) -> _Opened:
        while len(self._opened) >= self.files_max:
            _, oldest = self._opened.popitem(last=False)
            await oldest.file.close()
        try:
            file = await self.disk.open_append(self.base, path, mode=self.mode)
        except OSError as fault:
            # The same errors may be the base's, and those are the operator's to cure.
            below = fault.filename != self.base and fault.filename in path.split("/")
            refused = below and fault.errno in _PATH_ERRORS
            kind = PathRefused if refused else DestinationDown
            raise kind(self._text(path, fault)) from fault
        self._opened[path] = opened = _Opened(file, self.clock.now())
        return opened

    def tell(self, refused: PathRefused) -> None:
        """Log why messages are lost; how many is told in the stream, as any loss."""
        now = self.clock.now()
        if now >= self._tell_after:
            self._tell_after = now + TELL_SECONDS
            log.error("file %s; its messages are dropped", refused)

    def _text(self, path: str, fault: OSError) -> str:
        return f"{self.base.rstrip('/')}/{path}: {fault.strerror or fault}"
