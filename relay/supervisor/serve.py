"""All lifetimes in one place: the nesting of the nurseries is the order of the shutdown."""

import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import trio
from trio_typing import TaskStatus

from relay.config import ConfigErrors
from relay.config.confined import load_within
from relay.supervisor.apply import Nurseries, apply
from relay.supervisor.late_page import take_late_page
from relay.supervisor.orphans import find_orphans
from relay.supervisor.recovery import lose_forgotten
from relay.supervisor.state import Relay
from relay.supervisor.stop import Patience, drain_listeners, drain_pipes
from relay.supervisor.tell import own_messages, tell_losses, tell_senders, tell_upstreams

log = logging.getLogger("relay.supervisor")

STATUS_SECONDS = 10.0
REMEMBER_SECONDS = 1.0

Service = Callable[[Relay], Awaitable[None]]


async def serve(
    relay: Relay,
    signals: AsyncIterator[int],
    *,
    services: Sequence[Service] = (),
    watchdog_seconds: float | None = None,
    task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until SIGTERM or SIGINT, and return when every book is closed.

    `services` are started once every listener had its first try; they change nothing and are
    cancelled at the end. `started()` is called then, too.
    """
    relay.own.attach()
    relay.own.wall_ns = relay.machine.host(relay.config.relay.name).clock.wall_ns
    with own_messages(relay.own):
        async with trio.open_nursery() as serving:
            serving.start_soon(tell_losses, relay)
            serving.start_soon(tell_upstreams, relay)
            serving.start_soon(tell_senders, relay)
            serving.start_soon(_keep_status, relay, watchdog_seconds)
            serving.start_soon(_remember, relay)
            await _relay(relay, signals, serving, services, task_status)
            serving.cancel_scope.cancel()


async def _relay(
    relay: Relay,
    signals: AsyncIterator[int],
    serving: trio.Nursery,
    services: Sequence[Service],
    task_status: TaskStatus[None],
) -> None:
    async with trio.open_nursery() as delivering:  # ends last
        async with trio.open_nursery() as receiving:  # ends first
            nurseries = Nurseries(receiving, delivering)
            lose_forgotten(relay)
            apply(relay, relay.config, nurseries)
            if relay.machine.awaited:
                serving.start_soon(take_late_page, relay, delivering)
            else:
                find_orphans(relay, delivering)
            for listening in list(relay.listeners.values()):
                await listening.tried.wait()
            relay.phase = "running"
            relay.machine.service.ready(_status(relay))
            log.info("started with %d listeners and %d pipes",
                     len(relay.listeners), len(relay.pipes))  # fmt: skip
            for service in services:
                serving.start_soon(service, relay)
            task_status.started()
            number = await _obey(relay, signals, nurseries, serving)
            patience = Patience(relay.config.relay.drain_max)
            relay.machine.service.stopping(f"stopping on signal {number}")
            log.info("stopping on signal %d", number)
            serving.start_soon(_hurry, signals, patience)
            await drain_listeners(relay, patience, receiving)
        await drain_pipes(relay, patience)


async def _obey(
    relay: Relay, signals: AsyncIterator[int], nurseries: Nurseries, serving: trio.Nursery
) -> int:
    """Reload at every SIGHUP; returns the signal that says to stop.

    Reading the file may hang with its disk: a task of its own does it, and hears of signals that
    come meanwhile when it is done.
    """
    reloading = _Reloading()
    serving.start_soon(_reload_when_asked, relay, nurseries, reloading)
    async for number in signals:
        if number != signal.SIGHUP:
            reloading.scope.cancel()
            return number
        reloading.asked.set()
    raise AssertionError("the receiver of signals has ended")


@dataclass(slots=True, eq=False, repr=False)
class _Reloading:
    asked: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


async def _reload_when_asked(relay: Relay, nurseries: Nurseries, reloading: _Reloading) -> None:
    with reloading.scope:
        while True:
            await reloading.asked.wait()
            reloading.asked = trio.Event()
            relay.machine.service.reloading()
            await reload(relay, nurseries)
            relay.machine.service.ready(_status(relay))


async def reload(relay: Relay, nurseries: Nurseries) -> None:
    """Read the file again and change what differs; an invalid one changes nothing.

    Files are opened anew either way: that is how log rotation asks for it.
    """
    relay.reopening.call()
    try:
        new = await trio.to_thread.run_sync(
            load_within, relay.config.path, relay.config, relay.machine.confinement,
            abandon_on_cancel=True,
        )  # fmt: skip
    except ConfigErrors as errors:
        relay.reloads_failed += 1
        for error in errors.errors:
            log.error("%s", error)  # noqa: TRY400 - the operator's mistake, no traceback
        log.warning("%s is invalid: the configuration before it stays", relay.config.path)
        return
    except ImportError as fault:
        # What a new configuration needs is imported now, and may be of another version by now.
        relay.reloads_failed += 1
        log.error("the configuration before stays, since Relay needs a restart: %s", fault)  # noqa: TRY400
        return
    apply(relay, new, nurseries)
    relay.reloads += 1
    log.info("configuration read again")
    relay.reloaded.unpark_all()


async def _hurry(signals: AsyncIterator[int], patience: Patience) -> None:
    async for number in signals:
        if number != signal.SIGHUP:
            log.info("signal %d again: not waiting any longer", number)
            patience.end()


async def _keep_status(relay: Relay, watchdog_seconds: float | None) -> None:
    """Tell the service manager that we live, at twice the rate it asks for, and how we are."""
    pause = min(STATUS_SECONDS, (watchdog_seconds or 2 * STATUS_SECONDS) / 2)
    while True:
        await trio.sleep(pause)
        relay.machine.service.alive()
        relay.machine.service.status(_status(relay))


async def _remember(relay: Relay) -> None:
    while True:
        await trio.sleep(REMEMBER_SECONDS)
        await relay.machine.remember()
        await relay.keep_positions()


def _status(relay: Relay) -> str:
    pipes = relay.ledger.pipes.values()
    received = sum(it.received for it in relay.ledger.listeners.values())
    dropped = sum(sum(it.dropped.values()) for it in pipes)
    held = sum(it.held().messages for it in pipes)
    return f"{relay.phase}: {received} received, {held} held, {dropped} dropped"
