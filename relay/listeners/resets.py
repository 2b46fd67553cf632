"""Telling of connections that broke, without a line for each."""

import logging
from dataclasses import dataclass

log = logging.getLogger("relay.listener")

REPEAT_SECONDS = 60.0


@dataclass(slots=True, eq=False, repr=False)
class Resets:
    """The first one of an episode is told at once, then at most one line a minute with the count.

    Anyone who may connect can reset; a line for each would let a peer fill our log.
    """

    listener: str
    told_at: float = float("-inf")
    untold: int = 0

    def note(self, peer: str, fault: str, now: float) -> None:
        """A connection broke."""
        if self.untold or now - self.told_at < REPEAT_SECONDS:
            self.untold += 1
            log.debug("listener %s: connection from %s: %s", self.listener, peer, fault)
            return
        self.told_at = now
        log.info("listener %s: connection from %s: %s", self.listener, peer, fault)

    def due(self, now: float) -> None:
        """Tell the rest when its time has come."""
        if now - self.told_at >= REPEAT_SECONDS:
            self.tell(now)

    def tell(self, now: float) -> None:
        """Tell how many have not been told of."""
        if self.untold:
            log.info("listener %s: %d more connections broke", self.listener, self.untold)
            self.untold = 0
            self.told_at = now
