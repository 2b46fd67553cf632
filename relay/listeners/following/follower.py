"""The follower: looks at what is there, decides which file is which, and reads them in turns.

A rotated file keeps its inode, so a name that leads elsewhere is a new file, and the old one is
read to its end. A copy, compressed or not, has another inode and the same content, which its trace
tells. What was rotated more than once between two looks was never seen under its own name: it is
found among the rotated files, as one that is not known and has changed since the last look.
"""

import os
from collections.abc import Iterable

from relay.core.batch import TURN_OCTETS
from relay.listeners.following.followed import UNKNOWN, Followed, Rewritten
from relay.listeners.following.listing import Listing, group, is_compressed, is_rotated, look_around
from relay.listeners.following.missing import Missing
from relay.listeners.following.steps import Step, Told
from relay.system.ports import LogFile, Stat

SHARE_OCTETS = 16 << 10  # of each file in one turn; more when few have something to say
KEPT_MAX = 100  # files that are done and gone, kept to be known again if their names come back


class Follower(Missing):
    """Looks, and reads; each call is one hop to a thread, one at a time."""

    def look(self, now: float) -> list[Step]:
        """Look at what is there. To be followed by as many `read` as there is something for."""
        self._now = now
        self._look_at_open()
        directories = {os.path.dirname(it.path) for it in self.files.values() if not it.done}
        listing = look_around(self._ports, self._rules, directories, self._horizons)
        self._tell_faults(listing)
        self._note_end_of_doubts()
        if self._first:
            self._begin(listing)
        self._verify(listing)
        self._rename(listing)
        self._adopt(listing)
        self._open(listing)
        self._adopt_rotated(listing)
        self._open(listing)
        self._miss(listing)
        self._end_damaged()
        self._finish(listing)
        self._let_go()
        self._note_sizes()
        self._first = False
        return self._taken()

    def read(self, nameless: bool = False) -> list[Step]:
        """One turn: at most 256 KiB, shared by the files that have something; empty: none has.

        `nameless`: of deleted files alone.
        """
        heads = self._heads(self.nameless if nameless else self.files.values())
        self._turn = [key for key in self._turn if key in heads]
        self._turn += [key for key in heads if key not in self._turn]
        share = max(SHARE_OCTETS, TURN_OCTETS // max(1, len(heads)))
        left = TURN_OCTETS
        while self._turn and left > 0:
            key = self._turn.pop(0)
            left -= self._serve(heads[key], min(share, left))
        return self._taken()

    @property
    def nameless(self) -> list[Followed]:
        """Files that had been deleted by the last look, and are still open."""
        return [it for it in self.files.values() if it.file is not None and it.nameless]

    @property
    def hasty(self) -> bool:
        """A file was truncated: the next look should be soon."""
        return any(it.suspect for it in self.files.values())

    def close(self) -> None:
        self._let_go()
        for file in self.files.values():
            file.close()

    def _heads(self, files: Iterable[Followed]) -> dict[str, Followed]:
        """Of each group the file that comes first: what was rotated away before what is written."""
        heads: dict[str, Followed] = {}
        for file in files:
            if file.ready:
                other = heads.get(file.group)
                if other is None or _order(file) < _order(other):
                    heads[file.group] = file
        return {file.source: file for file in heads.values()}

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
                file.damaged = is_compressed(file.path)
                file.close()
                break
            if step is None:
                break
            octets += step.octets
            self._steps.append(step)
        return octets

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

    def _is_intact(self, file: Followed, stat: Stat) -> bool:
        if is_compressed(file.path):
            return True
        try:  # each time: within one tick of the clock, size and time may be as before
            return stat.size >= file.lines.end and file.intact()
        except OSError as exc:
            self._fail(file.path, exc)
            return True  # who knows

    def _note_end_of_doubts(self) -> None:
        """By then what another process has read and not kept is identified."""
        if self._unclean and self._unclean_until is None:
            self._unclean_until = self._now + 3 * self._rules.linger_seconds
            self._place_horizons()
        elif self._unclean and self._now >= (self._unclean_until or 0.0):
            self._unclean = False
            self._place_horizons()

    def _begin(self, listing: Listing) -> None:
        """The very first look: what was rotated before is nobody's business."""
        for path, stat in listing.stats.items():
            if path not in listing.matched:
                name = group(path)
                self._horizons[name] = max(self._horizons.get(name, 0), stat.changed_ns + 1)
        self._place_horizons()
        if not self._rules.from_end:
            return
        for path in listing.matched:
            stat = listing.stats[path]
            if stat.key in self._at:
                continue
            file = self._opened(path, stat.key)
            if file is not None:
                try:
                    self._follow(path, stat, file, line_start(file, stat.size))
                except OSError as exc:
                    self._fail(path, exc)

    def _rename(self, listing: Listing) -> None:
        for key, file in self._at.items():
            path = listing.path(key)
            file.nameless = path is None
            if path is not None and file.file is None and group(path) != file.group:
                continue  # its inode may be another file's: opening it tells
            if path is None or (path != file.path and is_rotated(path)):
                if file.away_since is None and not file.done:
                    file.away_since = self._now
                    self._steps.append(Told("rotations"))
            elif path in listing.matched and not is_rotated(path):
                file.away_since = None
            file.path = path or file.path
            if file.file is not None and not is_rotated(file.path):
                file.group = group(file.path)

    def _open(self, listing: Listing) -> None:
        """Open what has to be read, and as many of the others as may be.

        Those may have to be read after their name is gone. When there are more files than may be
        open they take turns.
        """
        wanted = [
            (it, path)
            for key, it in self._at.items()
            if it.file is None and not it.done and (path := listing.path(key))
        ]
        wanted.sort(key=lambda it: (not self._waits(it[0], it[1], listing), it[0].opened))
        room = self._rules.open_max - self._open_files()
        for file, path in wanted:
            if room <= 0 and not (self._waits(file, path, listing) and self._make_room()):
                return
            opened = self._opened(path, file.key)
            if opened is not None:
                room -= 1
                self._attach(file, opened, listing)

    def _waits(self, file: Followed, path: str, listing: Listing) -> bool:
        """There may be something to read, or it may be another file by now."""
        stat = listing.stats[path]
        changed = (stat.size, stat.changed_ns) != (file.size, file.changed_ns)
        return changed or is_compressed(path) or stat.size != file.trace.offset

    def _attach(self, file: Followed, opened: LogFile, listing: Listing) -> None:
        path = listing.path(file.key) or file.path
        fits = self._fits(file, path, opened)
        if not fits and is_compressed(path):
            opened.close()
            self._bury(file, "is gone")
            return
        try:
            stat = opened.stat()
            if fits:
                self._take(file, opened)
        except OSError as exc:
            self._fail(file.path, exc)
            return
        if not fits:  # truncated, or another file has got its inode
            file.file, file.suspect, file.reused_at = opened, True, path
            return  # the next look has a listing that is younger than that
        resolved = file.repeats_until == UNKNOWN and not is_compressed(file.path)
        if resolved:
            file.repeats_until = stat.size
        file.path = path
        # As the listing has it: what came after that is for the next look.
        file.seen(listing.stats.get(path, stat), self._now)
        self._note_begin(file)
        if resolved:
            self._place(file)

    def _make_room(self) -> bool:
        """Close the file that has been quiet for longest; False: all have something to read."""
        idle = [it for it in self.files.values() if it.file is not None and not it.ready]
        if not idle:
            return False
        min(idle, key=lambda it: it.grown_at).close()
        return True

    def _finish(self, listing: Listing) -> None:
        """Who is away, read to the end, and quiet, is done; its last line needs no end any more."""
        for file in self.files.values():
            if file.away_since is None or file.file is None or file.ready or file.suspect:
                continue
            quiet = self._now - max(file.away_since, file.grown_at)
            if quiet < self._rules.linger_seconds and not is_compressed(file.path):
                continue
            if step := file.close_line():
                self._steps.append(step)
            file.close()
            file.done = True
            self._place(file)
        gone = [it for it in self.files.values() if it.done and it.missing_since is not None]
        for file in gone[: max(0, len(gone) - KEPT_MAX)]:
            if self._now - (file.missing_since or 0.0) >= self._rules.linger_seconds:
                self._forget(file)

    def _end_damaged(self) -> None:
        """What cannot be read, and is not being written any more; its size is all that is known."""
        for file in self.files.values():
            quiet = self._now - file.grown_at >= self._rules.linger_seconds
            if file.damaged and quiet and not file.done:
                if step := file.close_line():
                    self._steps.append(step)
                self._lose(file.path, "is damaged", file.size)
                file.close()
                file.done = True
                self._place(file)

    def _note_sizes(self) -> None:
        """So that a later process can say how much was not read, if it finds none of it."""
        for file in self.files.values():
            if file.size > file.told_size:
                self._place(file)


def line_start(file: LogFile, size: int) -> int:
    """Where the last line that has no end begins, as far as one look reaches."""
    octets = min(size, 64 << 10)
    return size - octets + file.read(octets, size - octets).rfind(b"\n") + 1


def _order(file: Followed) -> tuple[bool, int]:
    """What was rotated away comes first, and of that what changed first."""
    return file.away_since is None, file.changed_ns
