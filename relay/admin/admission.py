"""How many connections are served at a time, and which one goes when there is one too many.

Who only keeps connections open takes them from himself: the one that is idle for longest makes room
for the next, and it is one of whoever has the most. The unix socket's places are its own, so that
the operator of this host gets in whatever happens on the network.
"""

from collections import Counter
from dataclasses import dataclass, field

from relay.admin.lifetime import Lifetime
from relay.core.networks import group_of
from relay.system.descriptors import descriptors_max

CONNECTIONS_MAX = 64
LOCAL_MAX = 16  # of these, kept for the unix socket
ADDRESS_MAX = 32  # from one address
DESCRIPTORS_SHARE = 8  # of few descriptors, one in so many

LOCAL = "local"


@dataclass(slots=True, eq=False, repr=False)
class Admission:
    """Invariant: `_open` are the connections that are served, by their addresses' groups."""

    refused: int = 0  # closed because there were too many
    _open: dict[Lifetime, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, address: str, lifetime: Lifetime) -> bool:
        """Take a new one in, at the cost of an idle one where there are too many; or refuse it."""
        group = group_of(address)
        crowd = self._crowd(group)
        if crowd:
            self.refused += 1
            idle = [it for it in crowd if not it.requests]
            if not idle:
                return False
            eldest = min(idle, key=lambda it: it.idle_since)
            eldest.scope.cancel()
            self.leave(eldest)
        self._open[lifetime] = group
        return True

    def leave(self, lifetime: Lifetime) -> None:
        """It is closed. May be called again."""
        self._open.pop(lifetime, None)

    def _crowd(self, group: str) -> list[Lifetime]:
        """Those of which one has to go for one more; none: there is room."""
        total = connections_max()
        local_max = max(1, total * LOCAL_MAX // CONNECTIONS_MAX)
        of_group = [it for it, its_group in self._open.items() if its_group == group]
        if group == LOCAL:
            return of_group if len(of_group) >= local_max else []
        if len(of_group) >= max(1, total * ADDRESS_MAX // CONNECTIONS_MAX):
            return of_group
        groups = Counter(it for it in self._open.values() if it != LOCAL)
        if groups.total() < max(1, total - local_max):
            return []
        [(largest, _)] = groups.most_common(1)
        return [it for it, its_group in self._open.items() if its_group == largest]


def connections_max() -> int:
    """How many are served at a time."""
    return min(CONNECTIONS_MAX, descriptors_max() // DESCRIPTORS_SHARE)
