"""After an unclean end: what the process before held, and what has become of it."""

import logging

from relay.core.account import Drop, PipeAccount
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.supervisor.state import Relay

log = logging.getLogger("relay.supervisor")


def open_channel(relay: Relay, account: PipeAccount, bounds: Bounds) -> Channel:
    """The channel of a pipe that this process has not had so far; its numbers go on.

    What the process before held in memory alone is booked as recovered, and as lost in the crash; a
    spool does the same once it is open.
    """
    page = relay.page
    first = account.numbers_used
    if page is None:
        return Channel(account, bounds, relay.memory, first=first)
    if account.name in page.before:
        first = max(first, page.before[account.name].next)
    channel = Channel(account, bounds, relay.memory, first=first, record=page.slot(account.name))
    name = account.name
    if name not in relay.machine.spools() and relay.config.spool(name) == "never":
        lose_held(relay, account)
        channel.save()
    return channel


def lose_held(relay: Relay, account: PipeAccount) -> None:
    """Book what the process before held for this pipe, and no spool can give back."""
    lost = relay.page.take_lost(account.name, 0) if relay.page else 0
    if lost:
        account.recovered += lost
        account.drop(lost, Drop.CRASH)
        log.error("pipe %s: %d messages were lost in the crash", account.name, lost)


def lose_forgotten(relay: Relay) -> None:
    """Book what was held for pipes that are no longer configured."""
    page = relay.page
    if page is None:
        return
    if page.before and not page.same_boot:
        log.info("the crash page is of another boot: what only memory held then is not known")
    known = {*relay.config.pipes, *relay.machine.spools()}  # a spool waits for its pipe to return
    for name in [name for name in page.believed() if name not in known]:
        if page.believed()[name].lost(0):
            account = relay.ledger.pipe(name, name)
            lose_held(relay, account)
            number = page.before[name].next
            page.slot(name).write(account, next_number=number, head=number)
