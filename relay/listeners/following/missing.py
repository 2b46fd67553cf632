"""What has no file any more, and when it is given up."""

import os

from relay.listeners.following.followed import Followed
from relay.listeners.following.listing import Listing, group, is_rotated
from relay.listeners.following.search import Search
from relay.listeners.following.steps import Told

LOOKS_MIN = 3  # for what is gone, before it is given up, however slow they are


class Missing(Search):
    """Waits for contents that are gone, and tells what is lost."""

    def _miss(self, listing: Listing) -> None:
        """What is gone and not read is waited for a while: a name may change while one looks.

        And for as long as there is a file of which it is not clear yet what it has.
        """
        undecided = {it.group for it in self.files.values() if it.suspect}
        for path, stat in self._unknown(listing):
            old = stat.changed_ns < self._horizons.get(group(path), 0)
            if is_rotated(path) and not old and not self._is_quiet(stat):
                undecided.add(group(path))
        for file in list(self.files.values()):
            if not self._is_gone(file, listing):
                file.missing_since, file.missed = None, 0
                continue
            file.missed += 1
            if file.missing_since is None:
                file.missing_since = self._now
            if file.done or file.group in undecided or (file.key and self._elsewhere(file)):
                continue
            long = self._now - file.missing_since >= self._rules.linger_seconds
            if long and file.missed >= LOOKS_MIN:
                self._give_up(file)

    def _elsewhere(self, file: Followed) -> bool:
        """Under any name in its directory; only its content says that it is the same."""
        directory = os.path.dirname(file.path)
        try:
            names = self._ports.names(directory)
        except OSError:
            return False
        for path in (os.path.join(directory, it) for it in names):
            try:
                stat = self._ports.stat(path)
            except OSError:
                continue
            if stat.key == file.key and stat.regular and file.trace.octets:
                opened = self._opened(path, stat.key)
                if opened is not None and self._go_on(file, path, stat, opened):
                    return True
        return False

    def _give_up(self, file: Followed) -> None:
        if step := file.close_line():
            self._steps.append(step)
        unread = file.size - file.trace.offset
        how = file.how or "is gone"
        if unread > 0:
            self._lose(file.path, how, unread, ", and what was written to it after the last look")
        elif file.trace.offset and not file.how:
            text = (
                f"{file.path} is gone: it had been read to octet {file.trace.offset};"
                " what was written to it after that cannot be known"
            )
            self._steps.append(Told("rotations", text))
        file.done = True
        self._place(file)
