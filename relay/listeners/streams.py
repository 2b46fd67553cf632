"""Receiving from many connections through one ready set. Shared by tcp and unix.

One task serves a listener: a task for each connection costs 51 µs a message at 20,000 messages/s
over 900 connections, one epoll set with an adaptive pause 9 to 12 (Python 3.11, Trio 0.35).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing

import trio
from trio_typing import TaskStatus

from relay.core.intake import Intake
from relay.core.streams import StreamFramer
from relay.listeners.acceptance import Acceptance
from relay.listeners.handshakes import Handshakes
from relay.listeners.limits import Limits
from relay.listeners.pause import Pause
from relay.listeners.reader import Reader
from relay.listeners.strangers import strangers
from relay.system.ports import Acceptor

PAUSE_SECONDS_MAX = 0.005
FULL_MESSAGES = 256  # few enough that a sender with a small TCP window is not held back
SWEEP_SECONDS = 1.0
WAITED_SECONDS = 0.01  # for room; less is the time that looking for it takes
QUIET_SECONDS = 0.25  # at a stop: a connection silent for this long after our FIN has said it all


async def receive_streams(
    acceptors: Sequence[Acceptor],
    intake: Intake,
    limits: Limits,
    framer: Callable[[], StreamFramer],
    *,
    room_seconds_max: float = float("inf"),
    task_status: TaskStatus[None],
) -> None:
    """Accept and receive until `intake.draining` is set and every connection is read to its end.

    Cancelled: connections stay open in `intake.streams` for the run that follows.
    """
    ready_set = intake.host.network.ready_set()
    try:
        reader = Reader(intake, limits, ready_set)
        async with accepting(reader, limits, acceptors, framer) as acceptance:
            task_status.started()
            with trio.CancelScope() as receiving:
                async with trio.open_nursery() as nursery:
                    pause = Pause(PAUSE_SECONDS_MAX, FULL_MESSAGES)
                    nursery.start_soon(receive, reader, acceptance, pause, room_seconds_max)
                    await intake.draining.wait()
                    receiving.cancel()
            await _drain(reader, acceptance)
            reader.tell()
    finally:
        ready_set.close()


@asynccontextmanager
async def accepting(
    reader: Reader,
    limits: Limits,
    acceptors: Sequence[Acceptor],
    framer: Callable[[], StreamFramer],
) -> AsyncIterator[Acceptance]:
    """While inside, TLS handshakes are taken forward, where there are any to be made."""
    intake = reader.intake
    for stream in strangers(intake, limits):
        reader.end(stream, intake.host.clock.now())
    if limits.tls is None:
        yield Acceptance(acceptors, intake, limits, reader.ready_set, framer)
        return
    with closing(Handshakes(intake, limits)) as handshakes:
        acceptance = Acceptance(acceptors, intake, limits, reader.ready_set, framer, handshakes)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handshakes.secure.watch, acceptance.open)
            nursery.start_soon(handshakes.serve, lambda it: reader.welcome(acceptance.stream(it)))
            yield acceptance
            nursery.cancel_scope.cancel()


async def receive(
    reader: Reader,
    acceptance: Acceptance,
    pause: Pause,
    room_seconds_max: float = float("inf"),
) -> None:
    """Accept and read until cancelled."""
    intake, clock = reader.intake, reader.intake.host.clock
    sweep_at = clock.now() + SWEEP_SECONDS
    while True:
        with reader.until(sweep_at):
            await _take_turns(reader, acceptance, pause)
        began = clock.now()
        await intake.room(room_seconds_max)
        now = clock.now()
        if now - began >= WAITED_SECONDS:
            reader.waited_at = now
        if sweep := now >= sweep_at:
            sweep_at = now + SWEEP_SECONDS
            acceptance.resume(now)
            reader.due(now)
        messages, octets = reader.turn(acceptance, sweep=sweep)
        if seconds := pause.after(messages, octets, began, clock.now()):
            await trio.sleep(seconds)


async def _take_turns(reader: Reader, acceptance: Acceptance, pause: Pause) -> None:
    """While there is room. Cancelled, nothing is lost: from each read to its put nothing awaits."""
    intake, clock = reader.intake, reader.intake.host.clock
    while True:
        told = await reader.wait()
        began = clock.now()
        if intake.blocked:
            return
        messages, octets = reader.turn(acceptance)
        if not (told or octets):
            continue  # who had the last turn had nothing more to say
        if seconds := pause.after(messages, octets, began, clock.now()):
            await trio.sleep(seconds)


async def _drain(reader: Reader, acceptance: Acceptance) -> None:
    """The stop: everything that our kernel has acknowledged is read, then nothing more comes in.

    A connection gets our FIN and is read until its end. One that stays silent, or goes on until
    `drain_by`, is sealed first: from then on our kernel acknowledges nothing, so that closing it
    resets no acknowledged octet away.
    """
    intake = reader.intake
    streams, table = intake.streams, intake.streams.table
    clock = intake.host.clock
    reader.stop_pacing()
    while not acceptance.finished() or streams.connections:
        for stream in table.values():
            if stream.ended_at is None:
                reader.end(stream, clock.now())
        await trio.lowlevel.checkpoint()
        with trio.move_on_at(intake.drain_by[0]):
            await intake.room()
        now = clock.now()
        late = now >= intake.drain_by[0]
        if late:
            for stream in table.values():
                stream.seal(now)
        acceptance.end_unproved(QUIET_SECONDS, late=late)
        if reader.turn(acceptance, linger=QUIET_SECONDS) == (0, 0):
            with reader.until(now + QUIET_SECONDS / 4):
                await reader.wait()
        if late and not streams.connections:
            return  # whoever is still in a backlog could not be accepted for want of descriptors
