"""Several destinations for one channel: what failover and balance have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from relay.core.candidate import Rank
from relay.core.delivery import Source
from relay.core.health import Health

StrategyName = Literal["failover", "balance"]

LOOK_SECONDS = 1.0  # how often is asked who has been healthy, or stalled, for long enough
RETURN_SECONDS_MAX = 900.0  # a destination that never lasts is not waited for longer than this


class Sharing(NamedTuple):
    """The keys of a pipe that say how it goes about its destinations."""

    strategy: StrategyName
    return_after: float  # seconds
    stalled_max: float  # seconds
    resolve_every: float | None = None  # seconds; set: each address of one name is a destination


class Seat(Source, Protocol):
    """One of the destinations, and the source of its deliveries."""

    rank: Rank  # compared with the other ones; changed before they are arranged

    def crashed(self) -> bool:
        """Its delivery has failed unexpectedly; see `Poison.failed`."""


class Strategy(Protocol):
    """Who of several destinations has which messages of a channel."""

    async def run(self) -> None:
        """Watch over them until cancelled, and until none of them holds anything."""

    def seat(self, health: Health) -> Seat:
        """A place for one more; it counts once it is arranged."""

    def arrange(self, seats: Sequence[Seat], sharing: Sharing) -> None:
        """These and no others from now on, in this order."""


@dataclass(slots=True, eq=False, repr=False)
class Patience:
    """How long one destination may stall, and for how long it must be healthy to be back.

    One that comes back and does not last is waited for twice as long the next time.
    """

    sharing: Sharing
    _waits: int = 0  # times that it did not last
    _back_since: float | None = None
    _stalled_since: float | None = None

    @property
    def return_seconds(self) -> float:
        longest = max(self.sharing.return_after, RETURN_SECONDS_MAX)
        return min(self.sharing.return_after * 2.0 ** min(self._waits, 30), longest)

    def back(self, now: float) -> None:
        """It has messages again."""
        self._back_since = now

    def lost(self, now: float) -> None:
        """It has none any more, for it is down or stalled."""
        if self._back_since is None:
            return
        lasted = now - self._back_since >= self.return_seconds + self.sharing.stalled_max
        self._waits = 0 if lasted else self._waits + 1
        self._back_since = None

    def note(self, health: Health, now: float) -> None:
        """To be told every second or so."""
        if not health.stalled:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now

    def ends(self, now: float) -> bool:
        """It has stalled for too long, as far as was noted."""
        since = self._stalled_since
        return since is not None and now - since >= self.sharing.stalled_max
