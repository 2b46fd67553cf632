"""Spools without a pipe, left by an earlier process: counted, told, and kept for who wants them."""

import logging

import trio

from relay.core.account import Drop
from relay.core.backlog import Backlog
from relay.core.bounds import Bounds
from relay.supervisor.recovery import open_channel
from relay.supervisor.spools import Spooled, spool_of
from relay.supervisor.state import Relay

log = logging.getLogger("relay.supervisor")

NOTHING = Bounds(messages=1, memory=0)  # no message is put to such a channel


def find_orphans(relay: Relay, nursery: trio.Nursery) -> None:
    """Give each spool whose pipe is not configured a book, and look what is in it."""
    for name in relay.machine.spools():
        if name not in relay.config.pipes and name not in relay.retiring:
            if name in relay.orphans:
                continue  # left by a reload of this process
            channel = open_channel(relay, relay.ledger.pipe(name, name), NOTHING)
            channel.close()
            channel.closing = Drop.REMOVED
            channel.orphan = True
            channel.backlog = Backlog("never", 0)
            relay.orphans[name] = channel
            spooled = relay.spools[name] = spool_of(relay, name, channel)
            nursery.start_soon(_look, spooled)


async def _look(spooled: Spooled) -> None:
    """Open the spool, and close it again: whoever wants to read or adopt it can."""
    spooled.spool.end_soon()
    await spooled.run()
    channel = spooled.spool.channel
    if not channel.orphan:
        return  # its pipe is configured again meanwhile
    if left := channel.held().orphan:
        log.warning(
            "spool of pipe %s holds %d messages, and there is no such pipe: configure it again, or "
            "see relay spool", spooled.name, left,
        )  # fmt: skip
