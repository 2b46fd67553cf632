"""The contents that are known, and what is to be told of them."""

import errno
from collections.abc import Mapping

from relay.core.position import Place
from relay.listeners.following.followed import UNKNOWN, Followed
from relay.listeners.following.listing import Listing, group, is_compressed, is_rotated
from relay.listeners.following.rules import Rules
from relay.listeners.following.steps import Forget, Read, Step, Told
from relay.listeners.following.trace import Trace
from relay.system.ports import LogFile, LogFiles, Stat
from relay.wire.lines import Lines

HORIZONS = "horizons"  # the source that says what had been rotated before the very first look
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Known:
    """What is known of contents and of the inodes they are in.

    Invariants: `files` has every content that is known, by its source; `_at` those of them that
    have an inode, by its key.

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
        self._at: dict[str, Followed] = {}
        self._ports = ports
        self._rules = rules
        self._horizons: dict[str, int] = {}  # what was rotated before the first look is older
        self._first = HORIZONS not in known  # there was no look before this one
        # What is new may have been put by a process that could not say so any more.
        self._unclean = any(repeating for _, repeating in known.values())
        self._unclean_until: float | None = None
        self._waiting: dict[str, tuple[Stat, float]] = {}  # perhaps copies: as seen, since when
        self._strays: list[tuple[str, Stat, LogFile]] = []  # open, no name, and nobody's
        self._held: dict[str, LogFile] = {}  # by key: open until this look knows what they have
        self._steps: list[Step] = []
        self._faults: dict[str, str] = {}  # told, and not over
        self._short = False  # of descriptors, since the last look
        self._opens = 0
        self._sources = 0
        self._turn: list[str] = []  # sources, in the order in which they are served
        self._now = 0.0
        for source, (place, repeating) in known.items():
            self._resume(source, place, repeating=repeating)

    def _resume(self, source: str, place: Place, *, repeating: bool) -> None:
        try:
            if source == HORIZONS:
                self._horizons = {str(k): int(v) for k, v in place["changed"].items()}
                self._unclean = self._unclean or bool(place["unclean"])
                return
            number = int(source)
            found = Followed.resumed(source, place, self._rules.message_max, repeating=repeating)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            text = f"the position of file {source} is not understood: {exc!r}"
            self._steps += [Told("failures", text, "position"), Forget(source)]
            return
        self._sources = max(self._sources, number)
        self.files[source] = found
        if found.key:
            self._at[found.key] = found
        if repeating:
            self._place(found)  # so that a process that comes before it was read knows as well

    def _follow(self, path: str, stat: Stat, opened: LogFile | None, offset: int = 0) -> Followed:
        """A content that was not known, from the offset on.

        Raises:
            OSError: it cannot be read.
        """
        trace = Trace.at(opened, offset) if opened is not None else Trace()
        self._sources += 1
        lines = Lines(self._rules.message_max, trace.offset)
        file = Followed(str(self._sources), stat.key, path, group(path), lines, trace)
        file.seen(stat, self._now)
        file.away_since = self._now if is_rotated(path) else None
        others = [it for it in self.files.values() if it.group == file.group]
        if self._unclean or any(it.lines.position < it.repeats_until for it in others):
            file.repeats_until = extent(path, stat)
        if opened is not None:
            self._take(file, opened)
        self.files[file.source] = self._at[stat.key] = file
        self._waiting.pop(stat.key, None)
        self._place(file)
        return file

    def _take(self, file: Followed, opened: LogFile) -> None:
        self._opens += 1
        file.opened = self._opens
        file.take(opened, self._rules.message_max)

    def _place_horizons(self) -> None:
        place = {"changed": dict(self._horizons), "unclean": self._unclean}
        self._steps.append(Read(HORIZONS, "", place))

    def _place(self, file: Followed) -> None:
        file.told_size = file.size
        self._steps.append(Read(file.source, file.path, file.place))

    def _bury(self, file: Followed, how: str) -> None:
        """Its inode has another content by now; what is not read of it may be in a copy."""
        self._at.pop(file.key, None)
        file.key = ""
        file.how = how
        file.missing_since = self._now
        file.suspect = False
        self._place(file)

    def _move(self, file: Followed, path: str, stat: Stat) -> None:
        """It is found again in this file."""
        if self._at.get(file.key) is file:
            del self._at[file.key]
        file.close()
        file.key, file.path = stat.key, path
        file.missing_since = None
        self._at[stat.key] = file
        self._waiting.pop(stat.key, None)
        file.seen(stat, self._now)

    def _forget(self, file: Followed) -> None:
        file.close()
        del self.files[file.source]
        if self._at.get(file.key) is file:
            del self._at[file.key]
        self._steps.append(Forget(file.source))

    def _let_go(self) -> None:
        for opened in self._held.values():
            opened.close()
        self._held.clear()

    def _note_begin(self, file: Followed) -> None:
        try:
            if not is_compressed(file.path) and file.begin():
                self._place(file)
        except OSError as exc:
            self._fail(file.path, exc)

    def _open_files(self) -> int:
        return sum(it.file is not None for it in self.files.values())

    def _opened(self, path: str, key: str) -> LogFile | None:
        """Open it, if this path still leads to it or it is held; a fault is told."""
        if not is_compressed(path) and (held := self._held.pop(key, None)) is not None:
            return held
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
            self._short = True
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
        if not self._short:
            self._faults.pop("descriptors", None)
        self._short = False
        for path, exc in listing.faults.items():
            if exc is None:
                self._fault(path, "not-regular", f"passes over {path}: no regular file")
            else:
                self._fail(path, exc)

    def _lose(self, path: str, how: str, octets: int, more: str = "") -> None:
        text = f"{path} {how}: {octets} octets of it were never read{more}"
        self._steps.append(Told("lost", text, octets=octets, error=True))

    def _taken(self) -> list[Step]:
        steps, self._steps = self._steps, []
        return steps


def extent(path: str, stat: Stat) -> int:
    """How many octets of content a file has, as far as its size tells."""
    return UNKNOWN if is_compressed(path) else stat.size
