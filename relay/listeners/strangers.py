"""Telling of connections from senders that are not allowed, without a line for each."""

import logging
from dataclasses import dataclass, field

log = logging.getLogger("relay.listener")

REPEAT_SECONDS = 60.0
NAMED_MAX = 8  # addresses in one line


@dataclass(slots=True, eq=False)
class Strangers:
    """The first of an episode is told at once, then at most one line a minute, and its end.

    Invariant: what was noted is told or in `untold`; at most `NAMED_MAX` addresses are kept.
    """

    listener: str
    told_at: float = float("-inf")
    untold: int = 0
    _named: dict[str, None] = field(default_factory=dict)
    _more: bool = False  # there were others

    def note(self, peer: str, now: float) -> None:
        """A connection was refused."""
        if self.untold or now - self.told_at < REPEAT_SECONDS:
            self.untold += 1
            if len(self._named) < NAMED_MAX:
                self._named[peer] = None
            elif peer not in self._named:
                self._more = True
            return
        self.told_at = now
        log.warning("listener %s refuses a connection from %s: not allowed", self.listener, peer)

    def due(self, now: float) -> None:
        """Tell the rest when its time has come."""
        if now - self.told_at >= REPEAT_SECONDS:
            self.tell(now)

    def tell(self, now: float) -> None:
        """Tell how many have not been told of."""
        if not self.untold:
            return
        others = " and others" if self._more else ""
        log.warning("listener %s refused %d more connections that are not allowed, from %s%s",
                    self.listener, self.untold, ", ".join(self._named), others)  # fmt: skip
        self.untold, self._more = 0, False
        self._named.clear()
        self.told_at = now
