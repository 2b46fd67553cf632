"""One turn of a reader."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.batch import TURN_OCTETS
from relay.core.streams import READ_MESSAGES, Stream

# A turn of so many is full, and with the last read it is one batch. 2.6 MB of `a\n` in one turn
# took 0.4 s.
TURN_MESSAGES = 769
BATCH_MESSAGES = 1016  # and a few that came unexpectedly: 1024 are lent at once


@dataclass(slots=True, eq=False, repr=False)
class Turn:
    """What one turn has read; it is put at its end and once, for `room` was looked for once."""

    now: float
    empty_before: int  # of `frames.empty`
    messages: list[bytes] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    octets: int = 0

    def left(self, stream: Stream) -> int:
        """How many octets more it may read of the stream, as far as is known what they bring."""
        octets = stream.read_octets
        if (room := BATCH_MESSAGES - len(self.messages)) < READ_MESSAGES:
            octets = octets * room // READ_MESSAGES
        return min(octets, TURN_OCTETS - self.octets)

    @property
    def full(self) -> bool:
        return self.octets >= TURN_OCTETS or len(self.messages) >= TURN_MESSAGES

    def add(self, found: Sequence[bytes], sender: str) -> None:
        if found:
            self.messages += found
            self.senders += [sender] * len(found)
