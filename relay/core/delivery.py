"""The delivery: lend, send, settle, and try again when the destination is down."""

import logging
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import trio
from trio_typing import TaskStatus

from relay.core.account import Drop, PipeAccount
from relay.core.channel import Channel
from relay.core.component import Destination
from relay.core.errors import DestinationDown, DestinationRefused
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


@dataclass(slots=True, eq=False)
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


async def deliver(channel: Channel, destination: Destination, outlet: Outlet) -> None:
    """Deliver until cancelled. Faults of the destination are met here; ours go to the caller."""
    account = channel.account
    outage = _Outage(account, outlet.destination)
    while True:
        delivered = _delivered(account)
        pause_max = math.inf
        try:
            with channel.lease() as lease:
                await _attempt(destination, lease, outlet, outage)
        except DestinationRefused as refused:
            if channel.recalled:
                log.warning("destination %s refuses a message: %s", outlet.destination, refused)
                channel.refuse_head(Drop.REFUSED, str(refused))
                continue
            reason = str(refused)  # it has been lent no message that it could refuse
        except DestinationDown as down:
            reason, pause_max = str(down), down.pause_max
        else:
            reason = "ended"
        finally:
            account.up = account.stalled = False
            if _delivered(account) > delivered:
                outage.pauses = backoff(outage.jitter)
        account.failures += 1
        pause = min(next(outage.pauses), pause_max)
        outage.tell(reason, pause)
        await trio.sleep(pause)


async def _attempt(
    destination: Destination, lease: Lease, outlet: Outlet, outage: "_Outage"
) -> None:
    """Run a destination once, and notice when it has been up for a while."""
    fault: Exception | None = None
    status = _Status(outage.account)
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


@dataclass(slots=True, eq=False)
class _Outage:
    """How long to wait, and what was told, since the destination was up for a while."""

    account: PipeAccount
    destination: str
    jitter: random.Random = field(default_factory=random.Random)
    pauses: Iterator[float] = field(init=False)
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pauses = backoff(self.jitter)
        if self.account.down_reason:
            self.told.add(self.account.down_reason)  # by the delivery before, which has crashed

    def tell(self, reason: str, pause: float) -> None:
        """Each reason once; the metrics go on counting."""
        self.account.down_reason = reason
        new = reason not in self.told and len(self.told) < REASONS_MAX
        log.log(
            logging.WARNING if new else logging.DEBUG,
            "destination %s is down: %s; next try in %.1f s", self.destination, reason, pause,
        )  # fmt: skip
        if new:
            self.told.add(reason)

    def end(self) -> None:
        self.pauses = backoff(self.jitter)
        if self.told:
            log.info("destination of pipe %s is up again", self.account.name)
            self.told.clear()


@dataclass(slots=True, eq=False)
class _Status(TaskStatus[None]):
    """Hears from a destination that it has been reached."""

    account: PipeAccount
    reached: trio.Event = field(default_factory=trio.Event)

    def started(self, value: None = None) -> None:
        self.account.up = True
        self.account.down_reason = ""
        self.account.connections += 1
        self.reached.set()


def _delivered(account: PipeAccount) -> int:
    return sum(account.delivered.values())
