"""The delivery: lend, send, settle, and try again when the destination is down."""

import logging
import math
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import trio
from trio_typing import TaskStatus

from relay.core.account import Drop
from relay.core.channel import Channel
from relay.core.component import Destination
from relay.core.errors import DestinationDown, DestinationRefused
from relay.core.health import Health
from relay.core.lease import Lease
from relay.core.outlet import Outlet

log = logging.getLogger("relay.delivery")

BACKOFF_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 60.0
JITTER = 0.2  # pauses differ by so much either way, so that a fleet does not reconnect in step
# Up for so long, a destination means it: a program that accepts and closes at once, a proxy without
# a server behind it, or a TLS peer that refuses our certificate has closed by then.
UP_SECONDS = 5.0
REASONS_MAX = 16  # told in one outage; more say nothing new, and some hold a number that changes
POISON_FAILURES = 3  # unexpected failures in a row on the same message before it is refused


def backoff(uniform: random.Random) -> Iterator[float]:
    """Pauses of 1, 2, 4 … 60 seconds, each 20 % up or down."""
    pause = BACKOFF_SECONDS
    while True:
        yield pause * uniform.uniform(1 - JITTER, 1 + JITTER)
        pause = min(pause * 2, BACKOFF_SECONDS_MAX)


@dataclass(slots=True, eq=False, repr=False)
class Poison:
    """Which message deliveries keep failing on unexpectedly; outlives their restarts."""

    head: int = -1
    failures: int = 0

    def failed(self, channel: Channel) -> bool:
        """A delivery of this channel has raised something nobody expected; its lease is left.

        From now on the messages it had in hand are lent one by one, so that those before the bad
        one leave and the bad one stands at the head. After three failures there it is refused, and
        the answer is True: the way is free. A delivery that had nothing in hand has failed on no
        message.
        """
        if not channel.recalled:
            return False
        channel.be_careful(channel.recalled)
        self.failures = self.failures + 1 if channel.head == self.head else 1
        self.head = channel.head
        if self.failures >= POISON_FAILURES:
            channel.refuse_head(Drop.INTERNAL_ERROR, "deliveries fail on it")
            self.failures = 0
            return True
        return False


class Source(Protocol):
    """Who lends to the deliveries to one destination."""

    @property
    def delivered(self) -> int:
        """Messages that this destination has taken so far."""

    async def wanted(self) -> None:
        """Return when the destination is to be reached."""

    def lease(self) -> AbstractContextManager[Lease]:
        """For one attempt. Leaving it early because it is not wanted any more, it ends quietly."""

    def reached(self) -> None:
        """It is up now; it is down when the lease is left."""

    def refuse_head(self, reason: str) -> bool:
        """Drop the oldest message of those that were taken back last, if there were any."""

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt, or until there is a reason not to."""


@dataclass(slots=True, eq=False, repr=False)
class Whole:
    """All of a channel is for one destination."""

    channel: Channel

    @property
    def delivered(self) -> int:
        return sum(self.channel.account.delivered.values())

    async def wanted(self) -> None:
        """It always is."""

    def lease(self) -> AbstractContextManager[Lease]:
        return self.channel.lease()

    def reached(self) -> None:
        """Nobody else needs to know."""

    def refuse_head(self, reason: str) -> bool:
        if not self.channel.recalled:
            return False
        self.channel.refuse_head(Drop.REFUSED, reason)
        return True

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def deliver(channel: Channel, destination: Destination, outlet: Outlet) -> None:
    """Deliver all of a channel until cancelled."""
    await deliver_from(Whole(channel), destination, outlet)


async def deliver_from(source: Source, destination: Destination, outlet: Outlet) -> None:
    """Deliver until cancelled. Faults of the destination are met here; ours go to the caller."""
    health = outlet.health
    outage = _Outage(outlet)
    while True:
        await source.wanted()
        delivered = source.delivered
        reason, pause_max = "", math.inf
        try:
            with source.lease() as lease:
                await _attempt(destination, lease, outlet, source, outage)
                reason = "ended"
        except DestinationRefused as refused:
            reason = str(refused)
            if source.refuse_head(reason):
                log.warning("destination %s refuses a message: %s", outlet.destination, refused)
                continue
            # It has been lent no message that it could refuse.
        except DestinationDown as down:
            reason, pause_max = str(down), down.pause_max
        finally:
            health.up = health.stalled = False
            if source.delivered > delivered:
                outage.pauses = backoff(outage.jitter)
        if not reason:
            continue  # it is not wanted any more
        health.failures += 1
        pause = min(next(outage.pauses), pause_max)
        outage.tell(reason, pause)
        await source.pause(pause)


async def _attempt(
    destination: Destination, lease: Lease, outlet: Outlet, source: Source, outage: "_Outage"
) -> None:
    """Run a destination once, and notice when it has been up for a while."""
    fault: Exception | None = None
    status = _Status(outlet.health, source)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_outage, status.reached, outage)
            try:
                await destination.run(lease, outlet, task_status=status)
            except Exception as exc:
                fault = exc  # the nursery would wrap it in a group
            nursery.cancel_scope.cancel()
    except BaseException:
        # Cancelled while the other task ended: the fault came first, and may be about a message.
        if fault is None:
            raise
    if fault:
        try:
            raise fault
        finally:
            fault = None  # or it would hold this frame, and this frame it


async def _end_outage(reached: trio.Event, outage: "_Outage") -> None:
    await reached.wait()
    await trio.sleep(UP_SECONDS)
    outage.end()


@dataclass(slots=True, eq=False, repr=False)
class _Outage:
    """How long to wait, and what was told, since the destination was up for a while."""

    outlet: Outlet
    jitter: random.Random = field(default_factory=random.Random)
    pauses: Iterator[float] = field(init=False)
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pauses = backoff(self.jitter)
        if self.outlet.health.down_reason:
            self.told.add(self.outlet.health.down_reason)  # by one before, which has crashed

    def tell(self, reason: str, pause: float) -> None:
        """Each reason once; the metrics go on counting."""
        self.outlet.health.down_reason = reason
        new = reason not in self.told and len(self.told) < REASONS_MAX
        log.log(
            logging.WARNING if new else logging.DEBUG,
            "destination %s is down: %s; next try in %.1f s",
            self.outlet.destination, reason, pause,
        )  # fmt: skip
        if new:
            self.told.add(reason)

    def end(self) -> None:
        self.pauses = backoff(self.jitter)
        if self.told:
            log.info("destination %s is up again", self.outlet.destination)
            self.told.clear()


@dataclass(slots=True, eq=False, repr=False)
class _Status(TaskStatus[None]):
    """Hears from a destination that it has been reached."""

    health: Health
    source: Source
    reached: trio.Event = field(default_factory=trio.Event)

    def started(self, value: None = None) -> None:
        self.health.up = True
        self.health.down_reason = ""
        self.health.connections += 1
        self.reached.set()
        self.source.reached()
