"""What the sessions of destinations share: lending, waiting for room, being watched, being up."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import trio
from trio_typing import TaskStatus

from relay.core.batch import Batch
from relay.core.errors import DestinationDown
from relay.core.health import Health
from relay.core.lease import Lease
from relay.core.outlet import formatted
from relay.wire.formats import Form

# A peer that takes nothing for longer is shown as stalled. One that reads 20 kB/s over loopback
# lets nothing in for 8.5 s at first: its kernel opens the window when most of a buffer is read.
STALLED_SECONDS = 10.0


class Writable(Protocol):
    async def writable(self) -> None: ...


async def lend_formatted(lease: Lease, form: Form) -> Sequence[bytes]:
    """Lend, and give the messages as they leave. Cancelled: nothing is taken."""
    return all_formatted(await lease.lend(), form)


def all_formatted(batches: Sequence[Batch], form: Form) -> Sequence[bytes]:
    """The messages of all batches in one row, as many as were lent."""
    if len(batches) == 1:
        return formatted(batches[0], form)
    return list(chain.from_iterable(formatted(batch, form) for batch in batches))


async def wait_for_room(port: Writable, health: Health) -> None:
    """Wait until the port takes more. Who gives it more books the end of a stall."""
    with trio.move_on_after(STALLED_SECONDS):
        await port.writable()
        return
    health.stalled = True
    await port.writable()


async def work_watched(
    work: Callable[[], Awaitable[None]], *watches: Callable[[], Awaitable[str]]
) -> None:
    """Do the work until one of `watches` returns why the destination is down, and raise that.

    Whichever of them finds out, it comes out as a plain `DestinationDown`; a group holds bugs.
    """
    down: DestinationDown | None = None

    async def end_work(watch: Callable[[], Awaitable[str]]) -> None:
        nonlocal down
        down = DestinationDown(await watch())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for watch in watches:
            nursery.start_soon(end_work, watch)
        try:
            await work()
        except DestinationDown as fault:
            down = fault
        nursery.cancel_scope.cancel()
    if down:
        raise down


@dataclass(slots=True, eq=False, repr=False)
class Reached:
    """Calls `started()` once, when a destination that opens without proof has given one.

    With nothing to deliver, opening is all there can be. With messages waiting the first ones
    delivered tell: otherwise a full disk would be up and down again at every attempt.
    """

    lease: Lease
    task_status: TaskStatus[None]
    told: bool = False

    def opened(self) -> None:
        if not self.lease.waiting:
            self.delivered()

    def delivered(self) -> None:
        if not self.told:
            self.told = True
            self.task_status.started()


def plain(text: str) -> str:
    """The text of a fault inside a sentence: `Connection refused` without its capital."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
