"""Pacing: connections of senders above their rate are read later. Nothing of theirs is lost."""

import heapq
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from relay.core.rate import Buckets
from relay.core.streams import Stream

log = logging.getLogger("relay.listener")

QUIET_SECONDS = 10.0  # a sender that was not made to wait for so long is within its rate again
NAMED_MAX = 16  # senders told of at a time


@dataclass(slots=True, eq=False, repr=False)
class Pacing:
    """Which connections wait, and until when.

    Invariant: every connection in `waiting` is in the heap with the time it has there.
    """

    listener: str
    buckets: Buckets
    waiting: dict[Stream, float] = field(default_factory=dict)  # monotonic seconds
    _heap: list[tuple[float, int, Stream]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)
    _told: dict[str, float] = field(default_factory=dict)  # senders, and when they last waited
    _others_at: float | None = None  # when a sender last waited that was not told by name

    def holds(self, stream: Stream, now: float) -> bool:
        """Whether this connection must not be read now; if so it waits from now on."""
        sender = stream.connection.peer
        seconds = self.buckets.of(sender, now).wait(now)
        if not seconds:
            return False
        until = self.waiting[stream] = now + seconds
        heapq.heappush(self._heap, (until, next(self._order), stream))
        self._note(sender, now)
        return True

    def charge(self, stream: Stream, messages: int, now: float) -> None:
        self.buckets.of(stream.connection.peer, now).charge(messages, now)

    def forget(self, stream: Stream) -> None:
        """The connection is closed, or is read whatever its sender's rate is."""
        self.waiting.pop(stream, None)

    def due(self, now: float) -> Iterator[Stream]:
        """The connections whose time has come; they wait no more."""
        while self._heap and self._heap[0][0] <= now:
            until, _, stream = heapq.heappop(self._heap)
            if self.waiting.get(stream) == until:
                del self.waiting[stream]
                yield stream

    def seconds(self, now: float) -> float:
        """How long until `due` should be asked again."""
        return max(0.0, self._heap[0][0] - now) if self._heap else float("inf")

    def tell(self, now: float) -> None:
        """Tell whose episode is over. Once a second."""
        for sender, last in list(self._told.items()):
            if now - last >= QUIET_SECONDS:
                del self._told[sender]
                log.info("listener %s: %s is within its rate_limit again", self.listener, sender)
        if self._others_at is not None and now - self._others_at >= QUIET_SECONDS:
            self._others_at = None
            log.info("listener %s: other senders are within their rate_limit again", self.listener)

    def _note(self, sender: str, now: float) -> None:
        if sender in self._told or len(self._told) < NAMED_MAX:
            if sender not in self._told:
                log.warning("listener %s: %s sends more than its rate_limit and has to wait",
                            self.listener, sender)  # fmt: skip
            self._told[sender] = now
            return
        if self._others_at is None:
            log.warning("listener %s: other senders send more than their rate_limit, too",
                        self.listener)  # fmt: skip
        self._others_at = now
