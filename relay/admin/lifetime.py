"""How long a connection to the admin server may last."""

from dataclasses import dataclass

import trio

REQUEST_SECONDS_MAX = 30.0  # from the request's header to the last byte that our kernel takes


@dataclass(slots=True, eq=False)
class Lifetime:
    """Ends a connection by cancelling `scope`, whatever it is waiting for.

    Invariant: `requests` are being answered; an ended connection without any is cancelled.
    """

    scope: trio.CancelScope
    requests: int = 0
    ended: bool = False  # by the client: no more requests come

    def begin(self) -> None:
        """A request has come; its answer has a limited time."""
        self.requests += 1
        self.scope.deadline = trio.current_time() + REQUEST_SECONDS_MAX

    def unlimited(self) -> None:
        """The answer may take any time."""
        self.scope.deadline = float("inf")

    def finish(self) -> None:
        """A request has been answered."""
        self.requests -= 1
        self.scope.deadline = float("inf")
        self._look()

    def end(self) -> None:
        """The client has ended the connection, or it broke."""
        self.ended = True
        self._look()

    def _look(self) -> None:
        if self.ended and not self.requests:
            self.scope.cancel()
