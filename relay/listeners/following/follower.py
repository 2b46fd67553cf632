"""The follower: looks at what is there, decides which file is which, and reads them in turns.

A rotated file keeps its inode, so a name that leads elsewhere is a new file, and the old one is
read to its end. A copy, compressed or not, has another inode and the same content, which its trace
tells. What was rotated more than once between two looks was never seen under its own name: it is
found among the rotated files, as one that is not known and has changed since the last look.
"""

import errno
import os
from collections.abc import Mapping, Sequence

from relay.core.batch import TURN_OCTETS
from relay.core.position import Place
from relay.listeners.following.copies import Unsure, Verdict, copied, find_copy, shorter_copy
from relay.listeners.following.followed import UNKNOWN, Followed, Rewritten
from relay.listeners.following.listing import (
    Listing,
    group,
    is_compressed,
    is_rotated,
    look_around,
)
from relay.listeners.following.names import READABLE
from relay.listeners.following.rules import Rules
from relay.listeners.following.steps import Forget, Read, Step, Told
from relay.listeners.following.trace import Trace
from relay.system.ports import LogFile, LogFiles, Stat
from relay.wire.lines import Lines

HORIZONS = "horizons"  # the source that says when each group had changed last
SHARE_OCTETS = 16 << 10  # of each file in one turn; more when few have something to say
KEPT_MAX = 100  # files that are done and gone, kept to be known again if their names come back
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Follower:
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
        self._now = 0.0
        for key, (place, repeating) in known.items():
            self._resume(key, place, repeating=repeating)

    def look(self, now: float) -> list[Step]:
        """Look at what is there. To be followed by as many `read` as there is something for."""
        self._now = now
        self._look_at_open()
        directories = {os.path.dirname(it.path) for it in self.files.values() if not it.done}
        listing = look_around(self._ports, self._rules, directories, self._horizons)
        self._tell_faults(listing)
        if self._first:
            self._begin(listing)
        self._rename(listing)
        for file in [it for it in self.files.values() if it.suspect]:
            self._restart(file, listing)
        for file in [it for it in self.files.values() if self._is_missing(it, listing)]:
            self._search(file, listing)
        self._open(listing)  # first: it may be truncated, and what seems new be its copy
        self._adopt(listing)
        self._open(listing)
        self._finish(listing)
        self._note_horizons(listing)
        self._first = self._unclean = False
        return self._taken()

    def read(self) -> list[Step]:
        """One turn: at most 256 KiB, shared by the files that have something; empty: none has."""
        heads = self._heads()
        self._turn = [key for key in self._turn if key in heads]
        self._turn += [key for key in heads if key not in self._turn]
        share = max(SHARE_OCTETS, TURN_OCTETS // max(1, len(heads)))
        left = TURN_OCTETS
        while self._turn and left > 0:
            key = self._turn.pop(0)
            left -= self._serve(heads[key], min(share, left))
        return self._taken()

    @property
    def hasty(self) -> bool:
        """A file was truncated: the next look should be soon."""
        return any(it.suspect for it in self.files.values())

    def close(self) -> None:
        for file in self.files.values():
            file.close()

    # -- reading

    def _heads(self) -> dict[str, Followed]:
        """Of each group the file that comes first: what was rotated away before what is written."""
        heads: dict[str, Followed] = {}
        for file in self.files.values():
            if file.ready:
                other = heads.get(file.group)
                if other is None or _order(file) < _order(other):
                    heads[file.group] = file
        return {file.key: file for file in heads.values()}

    def _serve(self, file: Followed, share: int) -> int:
        octets = 0
        while octets < share and file.ready:
            try:
                step = file.read(share - octets)
            except Rewritten:
                file.suspect = True
                break
            except OSError as exc:
                self._fail(file.path, exc)
                file.failed = True
                file.close()
                break
            if step is None:
                break
            octets += step.octets
            self._steps.append(step)
        return octets

    # -- looking

    def _look_at_open(self) -> None:
        for file in self.files.values():
            file.failed = False
            if file.file is None:
                continue
            try:
                stat = file.file.stat()
            except OSError as exc:
                self._fail(file.path, exc)
                file.close()
                continue
            file.suspect = file.suspect or not self._is_intact(file, stat)
            if not file.suspect:
                file.seen(stat, self._now)
                self._note_begin(file)

    def _note_begin(self, file: Followed) -> None:
        try:
            if not is_compressed(file.path) and file.begin():
                self._place(file)
        except OSError as exc:
            self._fail(file.path, exc)

    def _is_intact(self, file: Followed, stat: Stat) -> bool:
        if is_compressed(file.path):
            return True
        try:  # each time: within one tick of the clock, size and time may be as before
            return stat.size >= file.lines.end and file.intact()
        except OSError as exc:
            self._fail(file.path, exc)
            return True  # who knows

    def _begin(self, listing: Listing) -> None:
        """The very first look: what was rotated before is nobody's business."""
        for path, stat in listing.stats.items():
            if path not in listing.matched:
                name = group(path)
                self._horizons[name] = max(self._horizons.get(name, 0), stat.changed_ns + 1)
        if not self._rules.from_end:
            return
        for path in listing.matched:
            stat = listing.stats[path]
            if stat.key in self.files:
                continue
            file = self._opened(path, stat.key)
            if file is not None:
                try:
                    self._follow(path, stat, Trace.at(file, line_start(file, stat.size)), file)
                except OSError as exc:
                    self._fail(path, exc)

    def _rename(self, listing: Listing) -> None:
        for file in self.files.values():
            path = listing.path(file.key)
            if path is None or (path != file.path and is_rotated(path)):
                if file.away_since is None and not file.done:
                    file.away_since = self._now
                    self._steps.append(Told("rotations"))
            elif path in listing.matched and not is_rotated(path):
                file.away_since = None
            file.path = path or file.path
            if file.file is not None and not is_rotated(file.path):
                file.group = group(file.path)

    def _restart(self, file: Followed, listing: Listing) -> None:
        """It was truncated. Its rest is in a copy, if there is one; it begins anew."""
        assert file.file is not None
        trace = file.trace
        try:
            kept = trace.offset > 0 and file.file.stat().size >= trace.offset
            if kept and trace.fits(file.file):  # no line that was read is gone
                file.take(file.file, self._rules.message_max)
                file.suspect = False
                return
        except OSError as exc:
            self._fail(file.path, exc)
            return
        if file.suspect_since is None:
            file.suspect_since = self._now
        try:
            if not file.done:
                self._rescue(file, listing, since=file.suspect_since)
        except Unsure:
            return  # the next look is soon
        file.restart(self._rules.message_max)
        file.done, file.group = False, group(file.path)
        file.seen(self._listed(file, listing) or file.file.stat(), self._now)
        self._place(file)
        self._note_begin(file)

    def _rescue(self, file: Followed, listing: Listing, *, since: float) -> None:
        """What was truncated away and not read: in a copy, or lost.

        Raises:
            Unsure: it may be in a file that cannot be read yet; not for long, though.
        """
        candidates, found = self._copy_of(file, listing, since)
        self._steps.append(Told("truncations"))
        if found is not None:
            self._follow_rest(file, listing, *found)
            return
        if step := file.close_line():
            self._steps.append(step)
        for path in candidates:
            if shorter_copy(self._ports, file.head, path):
                self._remember(path, listing.stats[path])
        unread = file.size - file.lines.end
        if unread > 0 and (file.trace.octets or not self._new(candidates, listing)):
            self._lose(file.path, "was truncated", unread)

    def _search(self, file: Followed, listing: Listing) -> None:
        """It has no name any more, and is not open: it was rotated while nobody looked."""
        for found in self._elsewhere(file, listing):
            path, stat, opened = found
            if stat.key != file.key:
                self._steps.append(Forget(file.key))
                del self.files[file.key]
                file.key = stat.key
                self.files[stat.key] = file
            file.path, file.file = path, opened
            file.take(opened, self._rules.message_max)
            file.seen(stat, self._now)
            self._place(file)
            return
        try:
            candidates, copy = self._copy_of(file, listing, file.away_since or self._now)
        except Unsure:
            return
        if copy is not None:
            self._follow_rest(file, listing, *copy)
        elif file.size > file.trace.offset and (
            file.trace.octets or not self._new(candidates, listing)
        ):
            self._lose(file.path, "is gone", file.size - file.trace.offset)
        elif file.trace.offset:
            text = f"{file.path} is gone; it had been read to octet {file.trace.offset}"
            self._steps.append(Told("rotations", text))
        self._forget(file)

    def _copy_of(
        self, file: Followed, listing: Listing, since: float
    ) -> tuple[list[str], tuple[str, Stat, LogFile] | None]:
        """The files that may be copies of this one, and the one that is.

        Raises:
            Unsure: as `find_copy`, but no longer than a file has to be quiet.
        """
        candidates = [it for it in listing.of(file.group) if self._can_be_copy(it, listing)]
        try:
            return candidates, find_copy(self._ports, file.trace, candidates)
        except Unsure:
            if self._now - since < self._rules.linger_seconds:
                raise
            return candidates, None

    def _elsewhere(self, file: Followed, listing: Listing) -> Sequence[tuple[str, Stat, LogFile]]:
        """Under any name in its directory; or, after a boot, on a device with another number."""
        device, inode = file.key.split(":")
        directory = os.path.dirname(file.path)
        try:
            names = self._ports.names(directory)
        except OSError:
            return ()
        for path in sorted((os.path.join(directory, it) for it in names), key=is_compressed):
            try:
                stat = listing.stats.get(path) or self._ports.stat(path)
            except OSError:
                continue
            moved = str(stat.device) != device
            if str(stat.inode) != inode or not stat.regular or stat.size < file.trace.offset:
                continue
            if stat.key in self.files and stat.key != file.key:
                continue
            if (
                not file.trace.offset
                and path != file.path
                and (moved or not os.path.basename(path).startswith(os.path.basename(file.group)))
            ):
                continue  # no content says that it is the same
            opened = self._opened(path, stat.key)
            try:
                if opened is not None and file.trace.fits(opened):
                    return [(path, stat, opened)]
            except OSError as exc:
                self._fail(path, exc)
        return ()

    def _adopt(self, listing: Listing) -> None:
        """What is new: all that match, and what was rotated away since the last look."""
        new = [path for path, stat in listing.stats.items() if stat.key not in self.files]
        self._waiting = {
            key: it for key, it in self._waiting.items() if listing.path(key) is not None
        }
        for path in sorted(new, key=lambda it: listing.stats[it].changed_ns):
            stat = listing.stats[path]
            if stat.key in self.files or not (
                path in listing.matched or self._new([path], listing)
            ):
                continue  # a second link to one of these, or an old one
            if len(self.files) >= self._rules.files_max:
                self._fault("", "files-max", f"follows {len(self.files)} files, and no more")
                return
            if is_rotated(path) and not self._is_new(path, stat):
                continue
            if is_compressed(path) and not path.endswith(READABLE):
                self._lose(path, "cannot be decompressed here", stat.size)
                self._remember(path, stat)
                continue
            self._follow(path, stat, Trace(), None)
        self._faults.pop("", None)

    def _is_new(self, path: str, stat: Stat) -> bool:
        """Whether a rotated file is one of its own, and no copy of what is known."""
        others = [it for it in self.files.values() if it.group == group(path)]
        verdict, rest = copied(self._ports, path, others)
        if verdict is Verdict.NEW:
            return True
        if verdict is Verdict.REST:
            assert rest is not None
            opened = self._opened(path, stat.key)
            if opened is not None:
                self._follow(path, stat, rest.trace, opened)
        elif verdict is Verdict.KNOWN:
            self._remember(path, stat)
        else:
            changed, since = self._waiting.get(stat.key, (0, 0.0))
            if changed != stat.changed_ns:
                self._waiting[stat.key] = stat.changed_ns, self._now
            elif self._now - since >= self._rules.linger_seconds:  # a copy that stays one
                del self._waiting[stat.key]
                self._remember(path, stat)
        return False

    def _open(self, listing: Listing) -> None:
        """Open what has to be read, and as many of the others as may be.

        Those may have to be read after their name is gone. When there are more files than may be
        open they take turns.
        """
        wanted = [it for it in self.files.values() if it.file is None and self._wants(it, listing)]
        wanted.sort(key=lambda it: (not self._waits(it, listing), it.opened))
        room = self._rules.open_max - self._open_files()
        for file in wanted:
            if room <= 0 and not (self._waits(file, listing) and self._make_room()):
                return
            path = listing.path(file.key)
            opened = self._opened(path, file.key) if path else None
            if opened is not None:
                room -= 1
                self._opens += 1
                file.opened = self._opens
                self._attach(file, opened, listing)

    def _wants(self, file: Followed, listing: Listing) -> bool:
        path = listing.path(file.key)
        if path is None:
            return False
        stat = listing.stats[path]
        changed = (stat.size, stat.changed_ns) != (file.size, file.changed_ns)
        if file.done or changed or path in listing.matched or self._waits(file, listing):
            return changed or not file.done
        file.done = True  # it was rotated, and read to its end
        return False

    def _waits(self, file: Followed, listing: Listing) -> bool:
        """There may be something to read, or it may be another file by now."""
        path = listing.path(file.key)
        assert path is not None
        stat = listing.stats[path]
        changed = (stat.size, stat.changed_ns) != (file.size, file.changed_ns)
        return changed or is_compressed(path) or stat.size != file.trace.offset

    def _attach(self, file: Followed, opened: LogFile, listing: Listing) -> None:
        try:
            fits = file.trace.fits(opened)
            stat = opened.stat()
            if fits:
                file.take(opened, self._rules.message_max)
                file.done = False
        except OSError as exc:
            self._fail(file.path, exc)
            return
        if not fits:  # another file has got the inode, or it was truncated meanwhile
            file.file, file.suspect = opened, True
            return  # the next look has a listing that is younger than the truncation
        resolved = file.repeats_until == UNKNOWN and not is_compressed(file.path)
        if resolved:
            file.repeats_until = stat.size
        shorter = stat.size < file.size
        file.seen(self._listed(file, listing) or stat, self._now)
        self._note_begin(file)
        if shorter or resolved:
            self._place(file)

    def _listed(self, file: Followed, listing: Listing) -> Stat | None:
        """As the listing has it: what came after that is for the next look."""
        path = listing.path(file.key)
        return listing.stats[path] if path is not None else None

    def _make_room(self) -> bool:
        """Close the file that has been quiet for longest; False: all have something to read."""
        idle = [it for it in self.files.values() if it.file is not None and not it.ready]
        if not idle:
            return False
        min(idle, key=lambda it: it.grown_at).close()
        return True

    def _finish(self, listing: Listing) -> None:
        """Who is away, read to the end, and quiet, is done; its last line needs no end any more."""
        for file in list(self.files.values()):
            if file.away_since is None or file.file is None or file.ready or file.suspect:
                continue
            quiet = self._now - max(file.away_since, file.grown_at)
            if quiet < self._rules.linger_seconds and not is_compressed(file.path):
                continue
            if step := file.close_line():
                self._steps.append(step)
            file.close()
            file.done = True
        gone = [it for it in self.files.values() if it.done and listing.path(it.key) is None]
        for file in gone[: max(0, len(gone) - KEPT_MAX)]:
            self._forget(file)

    def _note_horizons(self, listing: Listing) -> None:
        """A file that is not known and changes after this was not there at this look."""
        held = {group(path) for key in self._waiting if (path := listing.path(key))}
        held |= {it.group for it in self.files.values() if it.suspect}
        now = dict(self._horizons)
        for file in self.files.values():
            if file.group not in held:
                now[file.group] = max(now.get(file.group, 0), file.changed_ns)
        if now != self._horizons or self._first:
            self._horizons = now
            self._steps.append(Read(HORIZONS, "", {"changed": now}))

    # -- parts of these

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
            file.repeats_until = _extent(path, stat)
        if opened is not None:
            file.take(opened, self._rules.message_max)
        self.files[stat.key] = file
        self._waiting.pop(stat.key, None)
        self._place(file)

    def _follow_rest(
        self, file: Followed, listing: Listing, path: str, stat: Stat, opened: LogFile
    ) -> None:
        """What was not read of a file, in the copy of it."""
        before = self.files.pop(stat.key, None)
        self._follow(path, stat, file.trace, opened)
        rest = self.files[stat.key]
        rest.repeats_until = max(
            rest.repeats_until, _extent(path, stat) if file.repeats_until else 0
        )
        if before is not None:
            before.close()
            if not (before.done or before is file or before.trace.fits(opened)):
                self._rescue(before, listing, since=float("-inf"))  # its inode went to the copy

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

    def _forget(self, file: Followed) -> None:
        file.close()
        del self.files[file.key]
        self._steps.append(Forget(file.key))

    def _is_missing(self, file: Followed, listing: Listing) -> bool:
        return file.file is None and not file.done and listing.path(file.key) is None

    def _can_be_copy(self, path: str, listing: Listing) -> bool:
        known = self.files.get(listing.stats[path].key)
        return is_rotated(path) and (known is None or known.file is None or not known.lines.end)

    def _new(self, paths: Sequence[str], listing: Listing) -> bool:
        """Whether one of them has changed since the last look, and is not known."""
        stats = [(path, listing.stats[path]) for path in paths]
        return not self._first and any(
            stat.key not in self.files and stat.changed_ns >= self._horizons.get(group(path), 0)
            for path, stat in stats
        )

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


def line_start(file: LogFile, size: int) -> int:
    """Where the last line that has no end begins, as far as one look reaches."""
    octets = min(size, 64 << 10)
    return size - octets + file.read(octets, size - octets).rfind(b"\n") + 1


def _extent(path: str, stat: Stat) -> int:
    """How many octets of content a file has, as far as its size tells."""
    return UNKNOWN if is_compressed(path) else stat.size


def _order(file: Followed) -> tuple[bool, int]:
    """What was rotated away comes first, and of that what changed first."""
    return file.away_since is None, file.changed_ns
