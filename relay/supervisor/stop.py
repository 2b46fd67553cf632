"""The stop: first nothing more comes in, then what is held goes out, then the books are closed."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from relay.core.account import Drop
from relay.supervisor.delivering import Delivering
from relay.supervisor.listening import close_streams
from relay.supervisor.spools import finish_spools
from relay.supervisor.state import Relay
from relay.supervisor.tell import tell_rest

log = logging.getLogger("relay.supervisor")

INTAKE_SHARE = 0.5  # of drain_max: reading what our kernel has acknowledged
DELIVERY_SHARE = 0.9  # of drain_max: delivering what is held; the rest is for our last words
SPOOL_SHARE = 0.95  # of drain_max: bringing to the disk what could not be delivered
SPOOL_SECONDS_MIN = 0.5  # also in a hurry: a disk that works takes milliseconds
WORDS_SECONDS_MIN = 0.25  # also in a hurry: a destination that is up takes them in milliseconds
REMEMBER_SECONDS_MAX = 0.5  # a disk that hangs must not hold the stop
GRACE_SECONDS = 1.0  # for a listener that does not keep its time


@dataclass(slots=True, eq=False, repr=False)
class Patience:
    """How long each phase of the stop may take; a second signal ends it."""

    seconds: float  # drain_max
    began: float = field(default_factory=trio.current_time)
    hurried: bool = False
    _scopes: set[trio.CancelScope] = field(default_factory=set)

    def until(self, share: float) -> float:
        return float("-inf") if self.hurried else self.began + self.seconds * share

    @contextmanager
    def limit(self, share: float) -> Iterator[None]:
        """What is inside ends when this share of the time is over, or at once in a hurry."""
        with trio.CancelScope(deadline=self.until(share)) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def end(self) -> None:
        self.hurried = True
        for scope in self._scopes:
            scope.cancel()


async def drain_listeners(relay: Relay, patience: Patience, receiving: trio.Nursery) -> None:
    """Every listener but our own reads what our kernel holds, and ends."""
    relay.phase = "draining"
    for pipe in (*relay.pipes.values(), *relay.retiring.values()):
        pipe.channel.stopping = True
    for positions in relay.positions.values():
        positions.stopping = True
    going = [it for it in relay.listeners.values() if it.component.type != "internal"]
    going += relay.leaving
    for listening in going:
        listening.drain(patience.until(INTAKE_SHARE))
    receiving.cancel_scope.deadline = patience.until(INTAKE_SHARE) + GRACE_SECONDS
    with patience.limit(INTAKE_SHARE):
        for listening in going:
            await listening.ended.wait()
    for listening in going:
        listening.hurry()
    with trio.move_on_after(GRACE_SECONDS):
        for listening in going:
            await listening.ended.wait()
    receiving.cancel_scope.cancel()


async def drain_pipes(relay: Relay, patience: Patience) -> None:
    """Deliver what is held; at the deadline book the rest and tell it where somebody listens."""
    with patience.limit(DELIVERY_SHARE), trio.move_on_after(REMEMBER_SECONDS_MAX):
        await relay.machine.remember()  # before the sockets are closed
    for listening in relay.listeners.values():
        if listening.component.type != "internal":
            close_streams(listening.intake)
            relay.bindings.release(listening.component.endpoints())
    pipes = [*relay.pipes.values(), *relay.retiring.values()]
    with patience.limit(DELIVERY_SHARE):
        for pipe in pipes:
            if not _can_stay(pipe):
                await pipe.channel.empty()
    with trio.move_on_after(WORDS_SECONDS_MIN):  # who is reached is to hear what the others drop
        for pipe in pipes:
            if pipe.channel.account.up:
                await pipe.channel.empty()
    stuck = [pipe for pipe in pipes if not pipe.channel.is_empty]
    await _end(relay, patience, stuck)
    closed = {pipe.channel for pipe in stuck}
    relay.router.routes = {
        listener: [pipe for pipe in fed if pipe.channel not in closed]
        for listener, fed in relay.router.routes.items()
    }
    await _last_words(relay, patience)
    await _end(relay, patience, pipes)
    await finish_spools(relay, relay.orphans, SPOOL_SECONDS_MIN)
    with trio.move_on_after(REMEMBER_SECONDS_MAX):
        await relay.keep_positions(ended=True)
    tell_rest(relay)
    relay.phase = "stopped"


def _can_stay(pipe: Delivering) -> bool:
    """What this pipe holds is safe on disk, and its destination is down: there is no hurry."""
    backlog = pipe.channel.backlog
    safe = backlog is not None and backlog.ready and not backlog.failing
    return safe and not pipe.channel.account.up


async def _end(relay: Relay, patience: Patience, pipes: Sequence[Delivering]) -> None:
    """End these deliveries, all at once; leave what they hold to the disk, or book it."""
    for pipe in pipes:
        pipe.stop()
    for pipe in pipes:
        await pipe.ended.wait()
    rest = max(SPOOL_SECONDS_MIN, patience.until(SPOOL_SHARE) - trio.current_time())
    await finish_spools(relay, [pipe.name for pipe in pipes], rest)
    for pipe in pipes:
        pipe.close(Drop.SHUTDOWN)


async def _last_words(relay: Relay, patience: Patience) -> None:
    """Tell what was dropped, on the pipes that are up; then our own listener ends, the last one."""
    tell_rest(relay)
    log.info("exiting")
    own = [it for it in relay.listeners.values() if it.component.type == "internal"]
    for listening in own:
        listening.drain(patience.until(1.0))
        await listening.ended.wait()
    with trio.move_on_after(max(WORDS_SECONDS_MIN, patience.until(1.0) - trio.current_time())):
        for pipe in relay.pipes.values():
            if pipe.channel.closing is None:
                await pipe.channel.empty()
