"""Which pipes a batch goes to. A plain function, no task: routing cannot lag behind."""

import logging
from collections.abc import Mapping, Sequence

import trio

from relay.core.account import Drop
from relay.core.batch import Batch
from relay.core.changes import without_text
from relay.core.channel import Channel
from relay.core.ledger import Ledger
from relay.core.match import Views
from relay.core.pipe import Pipe

log = logging.getLogger("relay.router")


class Router:
    """Invariant, at each return of `put`, over all accounts: what was offered has been received.

    `Σ offered + Σ dead letters == Σ received`.
    """

    def __init__(self, ledger: Ledger, routes: Mapping[str, Sequence[Pipe]] | None = None) -> None:
        self.ledger = ledger
        self._routes = routes or {}
        self._waiting: set[trio.CancelScope] = set()

    @property
    def routes(self) -> Mapping[str, Sequence[Pipe]]:
        """The pipes that each listener feeds. Change it as a whole."""
        return self._routes

    @routes.setter
    def routes(self, routes: Mapping[str, Sequence[Pipe]]) -> None:
        self._routes = routes
        for scope in self._waiting:  # for a pipe that the listener may feed no longer
            scope.cancel()

    def put(self, batch: Batch) -> None:
        """Give the batch to every pipe that its listener feeds. Never waits, never raises."""
        pipes = self.routes.get(batch.listener, ())
        account = self.ledger.listener(batch.listener)
        account.accepted += len(batch)
        account.offered += len(batch) * len(pipes)
        views = Views(batch)
        taken: set[int] | None = set()  # None: some pipe took all
        full = [pipe.channel.full for pipe in pipes]
        for pipe, is_full in zip(pipes, full, strict=True):
            chosen = put_safely(pipe, batch, views, full=is_full)
            if chosen is None:
                taken = None
            elif taken is not None:
                taken.update(chosen)
        if taken is not None:
            account.unrouted += len(batch) - len(taken)

    def blocks(self, listener: str, *, acknowledging: bool = False) -> bool:
        """Whether `room` would wait. Asked first, it saves a batch 10 us of scopes."""
        return self._full(listener, acknowledging) is not None

    async def room(self, listener: str, *, acknowledging: bool = False) -> None:
        """Wait until no pipe that this listener feeds is full and must not drop.

        A pipe that keeps must not drop what an `acknowledging` listener brings. After it has looked
        at all of them this returns without another checkpoint.
        """
        while full := self._full(listener, acknowledging):
            with trio.CancelScope() as scope:
                self._waiting.add(scope)
                try:
                    await full.room(acknowledging=acknowledging)
                finally:
                    self._waiting.discard(scope)

    def _full(self, listener: str, acknowledging: bool) -> Channel | None:
        for pipe in self.routes.get(listener, ()):
            if pipe.channel.makes_wait(acknowledging=acknowledging):
                return pipe.channel
        return None


def put_safely(pipe: Pipe, batch: Batch, views: Views, *, full: bool) -> Sequence[int] | None:
    """One pipe's share of a batch: the places of the messages it took, None for all.

    The second place where any exception is caught outside the supervisor: one pipe's bug must
    cost neither the other pipes nor the listener a message, and must be booked.
    """
    account = pipe.account
    before = account.received
    try:
        return pipe.put(batch, views, full=full)
    except Exception as fault:
        account.received = before + len(batch)
        lost = account.residual()  # whatever the book cannot explain
        _tell(pipe, lost, fault)
        account.drop(lost, Drop.INTERNAL_ERROR, notice=batch.notice)
        if batch.receipt is not None and pipe.channel.keeps:
            batch.receipt.abandon()  # what its sender has still is not to be told yes for
        account.restarts += 1
        return ()


def _tell(pipe: Pipe, lost: int, fault: Exception) -> None:
    """With the traceback; where masks hide what messages say, without the text of the fault."""
    if pipe.rules is not None and pipe.rules.masks:
        text = without_text(fault)
        log.error("pipe %s: %d messages dropped by a bug\n%s", pipe.name, lost, text)
    else:
        log.error("pipe %s: %d messages dropped by a bug", pipe.name, lost, exc_info=fault)
