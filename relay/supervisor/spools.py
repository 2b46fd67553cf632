"""The spools of the pipes: given, kept across reloads, finished, and left behind."""

import errno
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

from relay.config.model import PipeKeys
from relay.core.backlog import Backlog
from relay.core.channel import Channel
from relay.spool.recovery import Known
from relay.spool.spool import Spool
from relay.supervisor.restart import supervise
from relay.supervisor.state import Relay
from relay.system.ports import Host

log = logging.getLogger("relay.supervisor")


@dataclass(slots=True, eq=False, repr=False)
class Spooled:
    """A pipe's spool while its task runs."""

    name: str
    spool: Spool
    host: Host
    before: "Spooled | None" = None  # one of this pipe that still closes
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self) -> None:
        try:
            with self.scope:
                if self.before is not None:
                    await self.before.spool.ended.wait()
                    self.before = None
                await supervise(f"spool of pipe {self.name}", self.spool.run, self._failed)
        finally:
            self.spool.ended.set()

    def _failed(self) -> bool:
        self.spool.channel.account.restarts += 1
        return False


def give_spool(relay: Relay, name: str, channel: Channel, nursery: trio.Nursery) -> None:
    """Let the channel have the spool that is configured; one that it has goes on.

    One that is switched off runs until it is empty, and so does what an earlier process has left.
    """
    keys, mode = relay.config.pipes[name], relay.config.spool(name)
    backlog = channel.backlog
    if backlog is not None:
        backlog.mode, backlog.octets_max = mode, keys.spool_size
        if mode == "always" and backlog.ready:
            channel.spooling.spill()
    elif mode != "never" or name in relay.machine.spools():
        channel.backlog = Backlog(mode, keys.spool_size)
    else:
        return
    spooled = relay.spools.get(name)
    if spooled is not None and not spooled.spool.ending and not spooled.spool.ended.is_set():
        spooled.spool.commit_seconds = keys.commit_every
        return
    if backlog is not None:
        backlog.tried = False  # what is on disk cannot be read before it is open again
    now = spool_of(relay, name, channel, keys)
    now.before = spooled
    relay.spools[name] = now
    nursery.start_soon(now.run)


def spool_of(relay: Relay, name: str, channel: Channel, keys: PipeKeys | None = None) -> Spooled:
    """The task behind a channel's backlog; without keys of a pipe to look what is there."""
    host = relay.machine.host(relay.config.relay.name)
    spool = Spool(
        channel=channel,
        directory=relay.machine.spool(name),
        disk=host.disk,
        octets_max=keys.spool_size if keys else 0,
        commit_seconds=keys.commit_every if keys else 0.0,
        known=lambda: _known(relay, name),
        take_lost=lambda found, store: (
            relay.page.take_lost(name, found, store) if relay.page else 0
        ),
    )
    return Spooled(name, spool, host)


def _known(relay: Relay, name: str) -> Known:
    """What the crash page says; while it is awaited, nobody knows what is on disk."""
    if relay.page is not None:
        return relay.page.known(name)
    if awaited := relay.machine.awaited:
        raise BlockingIOError(errno.EAGAIN, awaited)
    if relay.machine.page is not None:  # a thread has just got it
        raise BlockingIOError(errno.EAGAIN, "the crash page is not read yet")
    return Known()


async def finish_spools(relay: Relay, names: Iterable[str], seconds_max: float) -> None:
    """Bring what these pipes hold to the disk, all at once, and close their spools.

    No delivery of theirs may run. A disk that hangs for longer is left behind.
    """
    going = [relay.spools[name] for name in names if name in relay.spools]
    with trio.move_on_after(seconds_max):
        async with trio.open_nursery() as nursery:
            for it in going:
                if it.spool.channel.backlog is not None and it.spool.channel.backlog.ready:
                    it.spool.channel.spooling.spill()
                nursery.start_soon(it.spool.finish)
    for it in going:
        late: Spooled | None = it
        while late is not None:  # one that hangs may have a successor that waits for it
            relay.machine.abandon(late.host)
            late.scope.cancel()
            late = late.before
        await it.spool.ended.wait()
