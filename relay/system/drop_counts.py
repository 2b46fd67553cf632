"""Up to where the drops of inherited sockets are booked; outlives the process, as they do."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.system.datagram import SocketDatagramReceiver

FILE_NAME = "kernel-drops.json"


@dataclass(slots=True, eq=False, repr=False)
class DropCounts:
    """The kernel's own counts by SO_COOKIE, kept under the boot id: both end with a boot.

    Between two processes that share an inherited socket nobody reads it, and what it drops then
    is booked by the second. After an unclean end that may include a second of the first one's.
    It is the same between two listeners of one process, when reloads take away the first.

    Invariant: of all receivers of one socket, the one in `_watched` is the only one that counts.
    """

    directory: str
    boot: str = field(default_factory=lambda: boot_id())
    _known: dict[str, int] = field(default_factory=dict)
    _watched: dict[str, SocketDatagramReceiver] = field(default_factory=dict)  # or closed by now
    _saved: dict[str, int] = field(default_factory=dict)
    _began: dict[str, int] = field(default_factory=dict)  # counts of those that nobody knew of
    loaded: bool = False  # what the process before has saved is known

    def __post_init__(self) -> None:
        if (known := self.load()) is not None:
            self.adopt(known)

    def load(self) -> Mapping[str, int] | None:
        """What an earlier process has saved; `None` while the directory is not there. Blocks."""
        if not os.path.isdir(self.directory):
            return None
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
            with open(self._path, encoding="ascii") as file:
                content = json.load(file)
            if content.get("boot") == self.boot:
                return {str(k): int(v) % 2**32 for k, v in content["sockets"].items()}
        return {}

    def adopt(self, known: Mapping[str, int]) -> None:
        """Go on from these counts, also for the sockets that are watched already."""
        self.loaded = True
        for cookie, receiver in self._watched.items():
            if cookie in known and cookie in self._began:
                missed = (self._began[cookie] - known[cookie]) % 2**32
                receiver.count_drops_from((receiver.drops_read - missed) % 2**32)
        self._known = {**known, **self._known}

    def watch(self, receiver: SocketDatagramReceiver) -> None:
        """An inherited socket: go on counting where whoever had it before has stopped."""
        if receiver.kind != "udp":
            return
        cookie = str(receiver.cookie)
        if earlier := self._watched.get(cookie):
            # It may be open still, and drain: what is dropped from here on is not its own.
            self._known[cookie] = earlier.stop_counting()
        if cookie in self._known:
            receiver.count_drops_from(self._known[cookie])
        else:
            self._began[cookie] = receiver.drops_read
        self._watched[cookie] = receiver

    def changed(self) -> dict[str, int] | None:
        """The counts to save, or `None` when the file has them."""
        counts = {cookie: it.drops_read for cookie, it in self._watched.items()}
        return counts if counts != self._saved else None

    def save(self, counts: dict[str, int]) -> None:
        """Write them, the old file or the new one whole at any time. Blocks.

        Raises:
            OSError: no space or no permission.
        """
        content = json.dumps({"boot": self.boot, "sockets": counts})
        temporary = f"{self._path}.new"
        with open(temporary, "w", encoding="ascii") as file:
            file.write(content)
        os.replace(temporary, self._path)
        self._saved = counts

    @property
    def _path(self) -> str:
        return os.path.join(self.directory, FILE_NAME)


def boot_id() -> str:
    """What the kernel calls this boot (random(4)); empty where it does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
