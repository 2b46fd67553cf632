"""What a delivery has at hand: the ports, its account, and what outlives one attempt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.core.candidate import Candidate
from relay.core.health import Health
from relay.core.ring import Rings
from relay.system.ports import Host
from relay.wire.formats import Form, Format, convert
from relay.wire.hop import Hop
from relay.wire.timestamp import zone


@dataclass(slots=True, eq=False, repr=False)
class Reopening:
    """Tells deliveries to files that the operator has rotated them (SIGHUP)."""

    calls: int = 0  # so far: who was busy at one sees it here
    _waiting: set[trio.CancelScope] = field(default_factory=set)

    def call(self) -> None:
        self.calls += 1
        for scope in self._waiting:
            scope.cancel()

    @contextmanager
    def interrupts(self) -> Iterator[trio.CancelScope]:
        """A scope that is cancelled by the next call."""
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                yield scope
            finally:
                self._waiting.discard(scope)


class Outlet(NamedTuple):
    """Handed to `Destination.run` beside the lease."""

    pipe: str
    destination: str
    host: Host
    account: PipeAccount
    rings: Rings
    reopening: Reopening
    candidate: Candidate | None = None  # of several addresses the one that this delivery is for
    hop: Hop | None = None  # what the destination's key `stamp` writes into each message

    @property
    def health(self) -> Health:
        """Of this destination, as its deliveries see it."""
        return self.account.health(self.destination)

    def form(self, kind: Format) -> Form:
        """What messages become, the host of local ones being what we are called."""
        return Form(kind, self.host.name, self.hop)


def formatted(batch: Batch, form: Form) -> Sequence[bytes]:
    """The messages of a batch as a destination's `format` wants them."""
    if form.kind == "preserve" and form.hop is None:
        return batch.messages
    return convert(
        batch.messages,
        batch.senders,
        form,
        received_ns=batch.received_ns,
        zone=zone(batch.zone),
        numbers=batch.numbers,
    )
