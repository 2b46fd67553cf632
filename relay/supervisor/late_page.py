"""The crash page of a relay that has started before the state directory could be had.

Another process had it, or its file system was not mounted yet.
"""

import logging

import trio

from relay.spool.page import CrashPage
from relay.supervisor.orphans import find_orphans
from relay.supervisor.recovery import lose_forgotten, lose_held
from relay.supervisor.spools import give_spool
from relay.supervisor.state import Relay

log = logging.getLogger("relay.supervisor")


async def take_late_page(relay: Relay, delivering: trio.Nursery) -> None:
    """Wait for it, then do what a start does with it; from then on the books are on it.

    Until then no spool is open: what the process before held is not known, and the other one may be
    changing what is on disk.
    """
    await relay.machine.await_page()
    if relay.phase in ("draining", "stopped"):
        return
    file = relay.machine.page
    if file is not None:
        relay.page = CrashPage(file, relay.machine.boot_id)
        relay.page.begin(relay.epoch)  # our numbers do not follow those of the page
        lose_forgotten(relay)
        for name, pipe in relay.pipes.items():
            if pipe.channel.backlog is None:  # a spool that was switched off before may have a rest
                give_spool(relay, name, pipe.channel, delivering)
        for pipe in (*relay.pipes.values(), *relay.retiring.values()):
            if pipe.channel.backlog is None:
                lose_held(relay, pipe.channel.account)
        channels = [pipe.channel for pipe in (*relay.pipes.values(), *relay.retiring.values())]
        for channel in (*channels, *relay.orphans.values()):
            channel.record = relay.page.slot(channel.account.name)
            channel.save()
        log.info("crash page can be opened now: from here on a crash is counted")
    find_orphans(relay, delivering)
