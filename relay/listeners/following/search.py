"""Which file is which: what was truncated, what has lost its name, and what is new."""

import os

from relay.listeners.following.copies import begins_as, has, may_be_copy
from relay.listeners.following.followed import Followed
from relay.listeners.following.known import Known, extent
from relay.listeners.following.listing import Listing, group, is_compressed, is_rotated
from relay.listeners.following.names import READABLE
from relay.listeners.following.steps import Told
from relay.system.ports import LogFile, Stat


class Search(Known):
    """Finds contents again by their inode, and where that does not tell, by their trace."""

    # -- contents that have an inode: is it theirs still?

    def _verify(self, listing: Listing) -> None:
        """A content whose inode has another one by now loses it."""
        for file in list(self.files.values()):
            path = listing.path(file.key)
            if file.suspect:
                self._check(file, listing)
            elif file.file is None and path is not None:
                stat = listing.stats[path]
                same = (stat.size, stat.changed_ns) == (file.size, file.changed_ns)
                if not file.trace.octets and not (same and path == file.path):
                    self._forget(file)  # it was empty: nothing says that this is the same
                elif file.done and not same:
                    self._reopen(file, path, stat)
        strays, self._strays = self._strays, []
        for name, stat, opened in strays:
            self._take_stray(name, stat, opened, listing)

    def _check(self, file: Followed, listing: Listing) -> None:
        """It was truncated, or its inode is another file's: what the inode has now is new."""
        opened = file.file
        assert opened is not None
        try:
            stat = opened.stat()
            if 0 < file.trace.offset <= stat.size and file.trace.fits(opened):
                file.take(opened, self._rules.message_max)  # no line that was read is gone
                file.suspect = False
                return
        except OSError as exc:
            self._fail(file.path, exc)
            return
        file.file = None
        path = listing.path(file.key)
        if not file.done:
            self._steps.append(Told("truncations"))
        self._bury(file, "was truncated")
        if path is None:
            self._strays.append((file.reused_at or file.path, stat, opened))
        elif is_rotated(path):
            self._held[stat.key] = opened  # what this is, is found out as for any other
        else:
            self._begin_anew(path, stat, opened)

    def _begin_anew(self, path: str, stat: Stat, opened: LogFile) -> Followed | None:
        try:
            return self._follow(path, stat, opened)
        except OSError as exc:
            self._fail(path, exc)
            opened.close()
            return None

    def _take_stray(self, path: str, stat: Stat, opened: LogFile, listing: Listing) -> None:
        """It has no name any more, and may be read for as long as it is open."""
        others = [it for it in self.files.values() if it.group == group(path)]
        if not self._find(path, stat, opened, others, listing):
            self._begin_anew(path, stat, opened)
        file = self._at.get(stat.key)
        if file is not None and file.file is opened:
            file.nameless = True
            file.away_since = self._now if file.away_since is None else file.away_since

    def _reopen(self, file: Followed, path: str, stat: Stat) -> None:
        """It was done, and has changed: it has grown, or it is another file."""
        opened = self._opened(path, file.key)
        if opened is None:
            return
        if not self._fits(file, path, opened):
            self._bury(file, "is gone")
        elif is_compressed(path) or stat.size != file.trace.offset:
            file.done = False
            file.seen(stat, self._now)
            self._take(file, opened)
            return
        else:
            file.seen(stat, self._now)
        opened.close()

    def _fits(self, file: Followed, path: str, opened: LogFile) -> bool:
        """As `Trace.fits`; what is compressed in part so far is another file."""
        try:
            return file.trace.fits(opened)
        except OSError as exc:
            self._fail(path, exc)
            return not is_compressed(path)

    # -- files that are not known: whose content do they have?

    def _adopt(self, listing: Listing) -> None:
        """All that match and have the name of a file that is written to."""
        for path, stat in self._unknown(listing):
            if not (is_rotated(path) or self._is_full() or self._moved_device(path, stat)):
                self._follow(path, stat, None)

    def _adopt_rotated(self, listing: Listing) -> None:
        """What was rotated away since the first look, or matches.

        Its log must have been looked at first: it may be truncated, and this be its copy.
        """
        held = {it.group for it in self.files.values() if it.suspect}
        self._waiting = {k: it for k, it in self._waiting.items() if listing.path(k) is not None}
        for path, stat in self._unknown(listing):
            if (self._first and path not in listing.matched) or group(path) in held:
                continue
            if self._is_full():
                return
            self._identify(path, stat, listing)
        self._faults.pop("", None)

    def _unknown(self, listing: Listing) -> list[tuple[str, Stat]]:
        """What changed first comes first."""
        new = [(path, listing.stats[path]) for key, path in listing.keys.items()
               if key not in self._at]  # fmt: skip
        return sorted(new, key=lambda it: it[1].changed_ns)

    def _is_full(self) -> bool:
        full = len(self._at) >= self._rules.files_max
        if full:
            self._fault("", "files-max", f"follows {len(self._at)} files, and no more")
        return full

    def _moved_device(self, path: str, stat: Stat) -> bool:
        """After a boot a device may have another number."""
        for file in list(self.files.values()):
            if (
                file.path == path
                and file.key.endswith(f":{stat.inode}")
                and file.file is None
                and (opened := self._opened(path, stat.key)) is not None
                and self._go_on(file, path, stat, opened)
            ):
                return True
        return False

    def _identify(self, path: str, stat: Stat, listing: Listing) -> None:
        """A rotated file: a known content that has lost its inode, a copy in the making, or new."""
        old = stat.changed_ns < self._horizons.get(group(path), 0)
        others = [
            it for it in self.files.values() if it.group == group(path) and not (it.done and old)
        ]
        if (old and not others) or self._is_being_written(path, stat, listing):
            return
        if is_compressed(path) and not path.endswith(READABLE):
            if not old:
                self._lose(path, "cannot be decompressed here", stat.size)
                self._pass_over(path, stat)
            return
        opened = self._opened(path, stat.key)
        if opened is None:  # it has another name by now, or must not be read
            self._wait(path, stat)
        elif not self._find(path, stat, opened, others, listing) and not old:
            self._add(path, stat, opened, others, listing)

    def _is_being_written(self, path: str, stat: Stat, listing: Listing) -> bool:
        """What it is compressed from is there still."""
        beside = is_compressed(path) and os.path.splitext(path)[0] in listing.stats
        return beside and not self._wait(path, stat)

    def _find(
        self, path: str, stat: Stat, opened: LogFile, others: list[Followed], listing: Listing
    ) -> bool:
        """Go on with the content that is in this file now; of two, where less was read."""
        gone = [it for it in others if self._is_gone(it, listing)]
        for other in sorted(gone, key=lambda it: (it.done, -it.trace.offset)):
            try:
                if has(opened, other.trace) and self._go_on(other, path, stat, opened):
                    return True
            except OSError:
                return False  # it is seen again by who adds it
        return False

    def _add(
        self, path: str, stat: Stat, opened: LogFile, others: list[Followed], listing: Listing
    ) -> None:
        """A new content, unless it is empty, or perhaps a copy of what is there as well."""
        gone = [it for it in others if self._is_gone(it, listing)]
        quiet = self._is_quiet(stat)
        try:
            empty = not opened.read(1, 0)
            doubts = [
                it
                for it in others
                if it not in gone
                and (may_be_copy(opened, path, it) or not (it.done or it.file or quiet))
            ]
            for other in gone:  # damaged, or compressed only in part so far?
                has(opened, other.trace)
        except OSError as exc:
            self._doubt_damaged(path, stat, exc, others, listing)
            return
        if (empty or doubts) and not (
            self._wait(path, stat) and not empty and all(it.done for it in doubts)
        ):
            return
        try:
            file = self._follow(path, stat, opened)
        except OSError as exc:
            self._doubt_damaged(path, stat, exc, others, listing)
            return
        if doubts:  # as it seems, what was read already; a log may say the same twice, though
            file.repeats_until = max(file.repeats_until, extent(path, stat))
        for other in gone:
            if not (other.done or other.trace.octets):  # nothing of it is known: it may be this
                self._forget(other)
                break

    def _go_on(self, file: Followed, path: str, stat: Stat, opened: LogFile) -> bool:
        """Go on in this file with a content that fits; False: it does not."""
        try:
            if not file.trace.fits(opened):
                return False
            more = bool(opened.read(1, file.trace.offset))
        except OSError as exc:
            self._fail(path, exc)
            return False
        self._move(file, path, stat)
        if file.repeats_until:
            file.repeats_until = max(file.repeats_until, extent(path, stat))
        if more or not file.done:
            file.done = False
            if file.away_since is None and is_rotated(path):
                file.away_since = self._now
            self._take(file, opened)
        else:
            opened.close()
        self._place(file)
        return True

    def _wait(self, path: str, stat: Stat) -> bool:
        """Whether nothing has happened to it for as long as a file must be quiet."""
        before, since = self._waiting.get(stat.key, (stat, self._now))
        if (before.size, before.changed_ns) != (stat.size, stat.changed_ns):
            since = self._now
        self._waiting[stat.key] = stat, since
        return self._now - since >= self._rules.linger_seconds

    def _is_quiet(self, stat: Stat) -> bool:
        since = self._waiting.get(stat.key, (stat, self._now))[1]
        return self._now - since >= self._rules.linger_seconds

    def _doubt_damaged(
        self, path: str, stat: Stat, exc: OSError, others: list[Followed], listing: Listing
    ) -> None:
        """Compressed only in part so far; if it stays so, its content is lost."""
        if not self._wait(path, stat) or os.path.splitext(path)[0] in listing.stats:
            return
        self._fail(path, exc)
        if is_compressed(path):
            if not self._begins_as_one(path, stat, others):
                self._lose(path, "is damaged", stat.size)
            self._pass_over(path, stat)

    def _begins_as_one(self, path: str, stat: Stat, others: list[Followed]) -> bool:
        """It was to become a copy of what is known."""
        opened = self._opened(path, stat.key)
        if opened is None:
            return False
        try:
            return any(begins_as(opened, it.trace) for it in others)
        except OSError:
            return False
        finally:
            opened.close()

    def _pass_over(self, path: str, stat: Stat) -> None:
        file = self._follow(path, stat, None)
        file.done = True
        self._place(file)

    # -- contents that have no file

    def _is_gone(self, file: Followed, listing: Listing) -> bool:
        return file.file is None and (not file.key or listing.path(file.key) is None)
