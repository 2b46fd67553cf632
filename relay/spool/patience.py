"""How long a disk that cannot be read is waited for."""

from dataclasses import dataclass

from relay.spool.salvage import is_unreadable

SECONDS = 30.0  # a controller that resets, a path that changes and a cable are over by then
ATTEMPTS = 5


@dataclass(slots=True, eq=False, repr=False)
class Patience:
    """Counts how often, and for how long, the medium has failed at one place."""

    _place: int = -1
    _since: float = 0.0
    _attempts: int = 0

    def is_over(self, fault: OSError, now: float, place: int = 0) -> bool:
        """After one more fault. Another place, or a fault of another kind, begins anew."""
        if not is_unreadable(fault):
            self._attempts = 0
            return False
        if place != self._place or not self._attempts:
            self._place, self._since, self._attempts = place, now, 0
        self._attempts += 1
        return self._attempts >= ATTEMPTS and now - self._since >= SECONDS
