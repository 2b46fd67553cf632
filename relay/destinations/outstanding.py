"""Which of a connection's messages the peer does not have yet, by where they end on its stream."""

from collections import deque
from dataclasses import dataclass, field

from relay.wire.frames import Framed


@dataclass(slots=True, eq=False, repr=False)
class Outstanding:
    """The frames of one connection that are not passed yet, oldest first.

    Invariant: `messages` is how many end beyond the offset up to which all is passed; `end` is the
    length of the stream, frames that are only on their way to our kernel included.
    """

    end: int = 0
    messages: int = 0
    _batches: deque[tuple[int, Framed]] = field(default_factory=deque)  # each with where it ends
    _passed: int = 0  # messages of the oldest batch that are passed

    def add(self, framed: Framed) -> None:
        self.end += len(framed.data)
        self.messages += framed.messages
        self._batches.append((self.end, framed))

    def unpassed_octets(self, octets: int) -> int:
        """Of the stream, beyond its first `octets`."""
        return self.end - octets

    def pass_to(self, octets: int, *, exact: bool = True) -> int:
        """The peer has the first `octets` of the stream: how many messages more end there.

        Not `exact`: of whole batches, which costs nothing a message; the rest at a later call.
        """
        passed = 0
        while self._batches and self._batches[0][0] <= octets:
            passed += self._batches.popleft()[1].messages - self._passed
            self._passed = 0
        if exact and self._batches:
            end, framed = self._batches[0]
            complete = framed.complete(max(0, octets - (end - len(framed.data))))
            passed += complete - self._passed
            self._passed = complete
        self.messages -= passed
        return passed
