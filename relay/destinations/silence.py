"""Tells a peer that is dead from one that is alive and does not read.

The kernel of a peer that does not read still acknowledges: it answers every window probe, hours of
them. TCP_USER_TIMEOUT does not tell the two apart and cuts both.
"""

from dataclasses import dataclass

from relay.destinations.session import plain
from relay.system.ports import Clock, Connection, ConnectionBroken

# A first window probe may go unanswered for a second although nobody is dead.
QUIET_SECONDS = 2.0


@dataclass(slots=True, eq=False, repr=False)
class Silence:
    """Invariant: every look since `_asked_at` has found our kernel waiting for the peer's."""

    connection: Connection
    clock: Clock
    dead_after: float
    _asked_at: float | None = None

    @property
    def lasts(self) -> bool:
        """True when the peer's kernel does not answer, as far as we know now."""
        return self._asked_at is not None and self.clock.now() - self._asked_at >= QUIET_SECONDS

    def look(self) -> str:
        """Why the connection is over, or nothing. To be asked every second or so."""
        now = self.clock.now()
        try:
            silent = self.connection.silent_seconds()
        except ConnectionBroken as broken:
            return plain(str(broken))
        if not silent:
            self._asked_at = None
        elif self._asked_at is None or silent < now - self._asked_at:
            self._asked_at = now  # not asked before, or answered since
        elif now - self._asked_at >= self.dead_after:
            return f"peer is dead: its kernel has not answered for {self.dead_after:g} s"
        return ""
