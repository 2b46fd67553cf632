"""The files that are known, and what is to be told of them."""

import errno
from collections.abc import Mapping, Sequence

from relay.core.position import Place
from relay.listeners.following.followed import UNKNOWN, Followed
from relay.listeners.following.listing import Listing, group, is_compressed, is_rotated
from relay.listeners.following.rules import Rules
from relay.listeners.following.steps import Forget, Read, Step, Told
from relay.listeners.following.trace import Trace
from relay.system.ports import LogFile, LogFiles, Stat
from relay.wire.lines import Lines

HORIZONS = "horizons"  # the source that says when each group had changed last
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Known:
    """Invariant: `files` has every file that is known, by its key.

    `known`: the place of each source that an earlier process has kept, and whether what stands
    behind it may have been put already.
    """

    def __init__(
        self,
        ports: LogFiles,
        rules: Rules,
        known: Mapping[str, tuple[Place, bool]],
    ) -> None:
        self.files: dict[str, Followed] = {}
        self._ports = ports
        self._rules = rules
        self._horizons: dict[str, int] = {}  # a group's file that changed later is a new one
        self._first = HORIZONS not in known  # there was no look before this one
        self._unclean = any(repeating for _, repeating in known.values())
        self._waiting: dict[str, tuple[int, float]] = {}  # perhaps copies: changed, since when
        self._steps: list[Step] = []
        self._faults: dict[str, str] = {}  # told, and not over
        self._opens = 0
        self._turn: list[str] = []  # keys, in the order in which they are served
        self._reused = False  # an inode, so that not all in the listing is known
        self._now = 0.0
        for key, (place, repeating) in known.items():
            self._resume(key, place, repeating=repeating)

    def _resume(self, key: str, place: Place, *, repeating: bool) -> None:
        try:
            if key == HORIZONS:
                self._horizons = {str(k): int(v) for k, v in place["changed"].items()}
                return
            found = Followed.resumed(key, place, self._rules.message_max, repeating=repeating)
            self.files[key] = found
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            text = f"the position of file {key} is not understood: {exc!r}"
            self._steps += [Told("failures", text, "position"), Forget(key)]

    def _follow(self, path: str, stat: Stat, trace: Trace, opened: LogFile | None) -> None:
        """A file that was not known, from behind its trace on."""
        lines = Lines(self._rules.message_max, trace.offset)
        file = Followed(stat.key, path, group(path), lines, trace)
        file.seen(stat, self._now)
        file.away_since = self._now if is_rotated(path) else None
        others = [it for it in self.files.values() if it.group == file.group]
        if self._unclean or any(it.lines.position < it.repeats_until for it in others):
            file.repeats_until = extent(path, stat)
        if opened is not None:
            file.take(opened, self._rules.message_max)
        self.files[stat.key] = file
        self._waiting.pop(stat.key, None)
        self._place(file)

    def _remember(self, path: str, stat: Stat) -> None:
        """Nothing in this file is new."""
        file = Followed(stat.key, path, group(path), Lines(self._rules.message_max))
        try:
            if not is_compressed(path):
                opened = self._opened(path, stat.key)
                if opened is None:
                    return
                file.trace = Trace.at(opened, stat.size)
                opened.close()
        except OSError as exc:
            self._fail(path, exc)
            return
        file.seen(stat, self._now)
        file.done = True
        self.files[stat.key] = file
        self._place(file)

    def _place(self, file: Followed) -> None:
        self._steps.append(Read(file.key, file.path, file.place))

    def _bury(self, file: Followed) -> None:
        """It is gone, and another file has its inode; what it was is known by its content still."""
        self._steps.append(Forget(file.key))
        del self.files[file.key]
        file.key = f"{file.key}@{file.changed_ns}"
        self.files[file.key] = file
        self._reused = True

    def _forget(self, file: Followed) -> None:
        file.close()
        del self.files[file.key]
        self._steps.append(Forget(file.key))

    def _note_begin(self, file: Followed) -> None:
        try:
            if not is_compressed(file.path) and file.begin():
                self._place(file)
        except OSError as exc:
            self._fail(file.path, exc)

    def _new(self, paths: Sequence[str], listing: Listing) -> bool:
        """Whether one of them has changed since the last look, and is not known."""
        stats = [(path, listing.stats[path]) for path in paths]
        return not self._first and any(
            stat.key not in self.files and stat.changed_ns >= self._horizons.get(group(path), 0)
            for path, stat in stats
        )

    def _listed(self, file: Followed, listing: Listing) -> Stat | None:
        """As the listing has it: what came after that is for the next look."""
        path = listing.path(file.key)
        return listing.stats[path] if path is not None else None

    def _open_files(self) -> int:
        return sum(it.file is not None for it in self.files.values())

    def _opened(self, path: str, key: str) -> LogFile | None:
        """Open it, if this path still leads to it; a fault is told."""
        try:
            file = self._ports.open(path)
            if file.stat().key == key:
                self._faults.pop(path, None)
                return file
            file.close()
        except FileNotFoundError:
            pass
        except OSError as exc:
            self._fail(path, exc)
        return None

    def _fail(self, path: str, exc: OSError) -> None:
        if exc.errno in _NO_DESCRIPTORS:
            self._fault("descriptors", "descriptors", f"opens no more files: {exc.strerror}")
        else:
            reason = "permission" if exc.errno in (errno.EACCES, errno.EPERM) else "read"
            self._fault(path, reason, f"cannot read {path}: {exc.strerror or exc}")

    def _fault(self, subject: str, reason: str, text: str) -> None:
        """Told once while it lasts."""
        if self._faults.get(subject) != text:
            self._faults[subject] = text
            self._steps.append(Told("failures", text, reason))

    def _tell_faults(self, listing: Listing) -> None:
        if self._open_files() < self._rules.open_max:
            self._faults.pop("descriptors", None)
        for path, exc in listing.faults.items():
            if exc is None:
                self._fault(path, "not-regular", f"passes over {path}: no regular file")
            else:
                self._fail(path, exc)

    def _lose(self, path: str, how: str, octets: int) -> None:
        text = f"{path} {how}: {octets} octets of it were never read"
        self._steps.append(Told("lost", text, octets=octets, error=True))

    def _taken(self) -> list[Step]:
        steps, self._steps = self._steps, []
        return steps


def extent(path: str, stat: Stat) -> int:
    """How many octets of content a file has, as far as its size tells."""
    return UNKNOWN if is_compressed(path) else stat.size
