"""The adaptive pause: under trickle load a few milliseconds let a batch form."""

from dataclasses import dataclass, field

from relay.core.batch import TURN_OCTETS

FULL_OCTETS = TURN_OCTETS // 2  # of senders that may wait for us; those of datagrams do not
# What comes later than this behind a turn would not have come in a pause of 5 ms, with half of one
# to spare. At 100 messages/s, 10 ms apart, a pause for each was 17 % of the CPU.
BUSY_SECONDS = 0.0075
SECONDS_MIN = 0.001  # about as short as a task of Trio's can sleep


@dataclass(slots=True, eq=False, repr=False)
class Pause:
    """How long to wait before the next read.

    A message that comes alone is handed on at once, and nobody waits behind it: the turn before is
    long past. Only a stream of small turns waits, `seconds_max` for each; a turn that brought
    `full_messages` or `full_octets` has paid for itself, and more may be waiting. What the pause
    gains stands in docs/performance.md.

    One behind which a turn is full was too long: its sender's window may have been full before. So
    the next is half of it, and twice as long again behind a turn that is not. With messages of 64
    octets over one connection that is 1.45 to 1.9 times the rate, at the same cost of each.
    """

    seconds_max: float
    full_messages: int
    full_octets: int = FULL_OCTETS
    _ended: float = field(init=False, default=float("-inf"))  # the turn before
    _seconds: float = field(init=False)  # of the next one
    _paused: bool = field(init=False, default=False)  # before the turn that comes

    def __post_init__(self) -> None:
        self._seconds = self.seconds_max

    def after(self, messages: int, octets: int, began: float, ended: float) -> float:
        """The pause after a turn that brought so much; it `began` when there was something."""
        busy = began - self._ended < BUSY_SECONDS
        self._ended = ended
        full = messages >= self.full_messages or octets >= self.full_octets
        if self._paused:
            seconds = self._seconds / 2 if full else self._seconds * 2
            self._seconds = min(max(seconds, SECONDS_MIN), self.seconds_max)
        self._paused = busy and not full
        return self._seconds if self._paused else 0.0
