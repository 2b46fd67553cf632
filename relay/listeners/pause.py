"""The adaptive pause: under trickle load a few milliseconds let a batch form."""

from dataclasses import dataclass

from relay.core.batch import TURN_OCTETS

FULL_OCTETS = TURN_OCTETS // 2  # of senders that may wait for us; those of datagrams do not
BUSY_SECONDS = 0.02  # turns further apart than this gain nothing from waiting


@dataclass(slots=True)
class Pause:
    """How long to wait before the next read.

    A message that comes alone is handed on at once, because the turn before it is long past. Only
    a stream of small turns waits, `seconds_max` for each; a turn that brought `full_messages` or
    `full_octets` has paid for itself, and more may be waiting. What the pause gains stands in
    docs/performance.md.
    """

    seconds_max: float
    full_messages: int
    full_octets: int = FULL_OCTETS
    last: float = float("-inf")

    def after(self, messages: int, octets: int, now: float) -> float:
        """The pause after a turn that brought so much."""
        busy = now - self.last < BUSY_SECONDS
        self.last = now
        full = messages >= self.full_messages or octets >= self.full_octets
        return self.seconds_max if busy and not full else 0.0
