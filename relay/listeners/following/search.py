"""Which file is which: what was truncated, what has lost its name, and what is new."""

import os
from collections.abc import Sequence

from relay.listeners.following.copies import Unsure, Verdict, copied, find_copy, shorter_copy
from relay.listeners.following.followed import Followed
from relay.listeners.following.known import Known, extent
from relay.listeners.following.listing import Listing, group, is_compressed, is_rotated
from relay.listeners.following.names import READABLE
from relay.listeners.following.steps import Forget, Told
from relay.listeners.following.trace import Trace
from relay.system.ports import LogFile, Stat


class Search(Known):
    """Finds files again by their inode, and where that does not tell, by their content."""

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
        if self._is_read_elsewhere(file):
            return
        if unread > 0 and (file.trace.octets or not self._new(candidates, listing)):
            self._lose(file.path, "was truncated", unread)

    def _is_read_elsewhere(self, file: Followed) -> bool:
        """A copy of it was taken for a file of its own, and is read from its beginning."""
        try:
            return file.trace.octets > 0 and any(
                it.file is not None and it is not file and file.trace.fits(it.file)
                for it in self.files.values()
                if it.group == file.group
            )
        except OSError:
            return False

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
            keys = [(path, listing.stats[path].key) for path in candidates]
            return candidates, find_copy(self._ports, file.trace, keys)
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

    def _follow_rest(
        self, file: Followed, listing: Listing, path: str, stat: Stat, opened: LogFile
    ) -> None:
        """What was not read of a file, in the copy of it."""
        before = self.files.pop(stat.key, None)
        self._follow(path, stat, file.trace, opened)
        rest = self.files[stat.key]
        rest.repeats_until = max(
            rest.repeats_until, extent(path, stat) if file.repeats_until else 0
        )
        if before is not None:
            before.close()
            if not (before.done or before is file or before.trace.fits(opened)):
                self._rescue(before, listing, since=float("-inf"))  # its inode went to the copy

    def _can_be_copy(self, path: str, listing: Listing) -> bool:
        known = self.files.get(listing.stats[path].key)
        return is_rotated(path) and (known is None or known.file is None or not known.lines.end)

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
            if not is_rotated(path):
                self._follow(path, stat, Trace(), None)
            elif opened := self._opened(path, stat.key):  # it may be gone soon
                self._follow(path, stat, Trace(), opened)
                self._note_begin(self.files[stat.key])
            else:
                self._waiting[stat.key] = 0, self._now
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
