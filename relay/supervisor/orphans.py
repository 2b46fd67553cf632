"""Spools that processes before this one have left for pipes that are not configured.

They are booked as held, told, and given to a pipe that is configured under their name.
"""

import logging
from collections.abc import Sequence

from relay.core.backlog import Backlog, Lost, Segment
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.queue import Entry
from relay.spool.recovery import Found, look
from relay.supervisor.state import Relay
from relay.system.ports import Directory

log = logging.getLogger("relay.supervisor")

_BOUNDS = Bounds(messages=1, memory=0)  # nothing is put there


class _Closed:
    """The spool of a channel whose pipe nobody has configured."""

    async def read(self, first: int, octets_max: int) -> Sequence[Entry | Lost]:
        raise OSError("the spool is not open")


async def find_orphans(relay: Relay) -> None:
    """Look at the spools whose pipes are not configured: their files stay as they are.

    An empty one is of no interest.
    """
    host = relay.machine.host(relay.config.relay.name)
    relay.machine.abandon(host)  # nothing is changed: no stop has to wait for this disk
    for name in relay.machine.spools():
        if _is_known(relay, name):
            continue
        try:
            found = await host.disk.work(_look, relay.machine.spool(name), *_numbers(relay, name))
        except OSError as exc:
            log.warning("spool of pipe %s, which is not configured, cannot be read: %s",
                        name, exc.strerror or exc)  # fmt: skip
            continue
        if not _is_known(relay, name) and (found.report.messages or _at_risk(relay, name)):
            _keep(relay, name, found)


def _is_known(relay: Relay, name: str) -> bool:
    """Whether the pipe is, or was while this process ran, configured."""
    return name in relay.pipes or name in relay.retiring or name in relay.orphans


def _numbers(relay: Relay, name: str) -> tuple[int, int]:
    """What the crash page knows, as a pipe would begin with."""
    before = relay.page.before.get(name) if relay.page else None
    believed = relay.page.believed().get(name) if relay.page else None
    return before.next if before else 0, believed.head if believed else 0


def _at_risk(relay: Relay, name: str) -> int:
    believed = relay.page.believed().get(name) if relay.page else None
    return believed.at_risk if believed else 0


def _look(directory: Directory, next_min: int, settled_min: int) -> Found:
    """One hop. The lock tells whether another relay has it, and keeps it off meanwhile."""
    directory.open()
    try:
        return look(directory, next_min=next_min, settled_min=settled_min)
    finally:
        directory.close()


def _keep(relay: Relay, name: str, found: Found) -> None:
    """Give it a channel that is left with it, as that of a pipe that this process has removed."""
    page = relay.page
    messages = found.report.messages
    account = relay.ledger.pipe(name, name)
    channel = Channel(
        account,
        _BOUNDS,
        relay.memory,
        first=page.before[name].next if page and name in page.before else 0,
        record=page.slot(name) if page else None,
    )
    channel.orphan = True
    channel.backlog = Backlog("always", 0)
    channel.spooling.open(
        _Closed(),
        settled=found.cursor.settled,
        end=found.cursor.next,
        holes=[Segment(first, end, 0) for first, end in found.cursor.holes],
        messages=messages,
        lost=page.take_lost(name, messages) if page else 0,
    )
    channel.close()
    relay.orphans[name] = channel
    if messages:
        log.warning("spool of pipe %s, which is not configured, holds %d messages: "
                    "see `relay spool`", name, messages)  # fmt: skip
