"""How long a connection to the admin server may last."""

from dataclasses import dataclass

import trio

# For the TLS handshake and the first header together, and again for each next header; scrapes come
# every 15 s. However slowly a client speaks, this is all it has.
KEEP_ALIVE_SECONDS = 20.0
REQUEST_SECONDS_MAX = 30.0  # from the request's header to the last byte that our kernel takes
LINGER_SECONDS = 1.0  # after our last word, for the client to end as well


@dataclass(slots=True, eq=False, repr=False)
class Lifetime:
    """Ends a connection by cancelling `scope`, whatever it is waiting for.

    Invariant: `requests` are being answered; an ended connection without any is cancelled.
    """

    scope: trio.CancelScope
    requests: int = 0
    ended: bool = False  # by the client: no more requests come
    idle_since: float = 0.0
    until: float = float("inf")  # at the latest

    def __post_init__(self) -> None:
        self._wait()

    def begin(self) -> None:
        """A request has come; its answer has a limited time."""
        self.requests += 1
        self.limit()

    def limit(self) -> None:
        """What is sent from now on has the time of an answer."""
        self._last(trio.current_time() + REQUEST_SECONDS_MAX)

    def unlimited(self) -> None:
        """The answer may take any time."""
        self._last(float("inf"))

    def finish(self) -> None:
        """A request has been answered."""
        self.requests -= 1
        self._wait()
        self._look()

    def end(self) -> None:
        """The client has ended the connection, or it broke."""
        self.ended = True
        self._look()

    def linger(self) -> None:
        """We have ended it, and read a little longer."""
        self.until = trio.current_time() + LINGER_SECONDS
        self._last(self.until)

    def _wait(self) -> None:
        self.idle_since = trio.current_time()
        self._last(self.idle_since + KEEP_ALIVE_SECONDS)

    def _last(self, until: float) -> None:
        self.scope.deadline = min(until, self.until)

    def _look(self) -> None:
        if self.ended and not self.requests:
            self.scope.cancel()
