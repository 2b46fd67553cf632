"""The end of a pipe that is no longer configured."""

import logging

import trio

from relay.core.account import Drop
from relay.supervisor.delivering import Delivering
from relay.supervisor.spools import finish_spools
from relay.supervisor.state import Relay

log = logging.getLogger("relay.supervisor")


async def retire(relay: Relay, pipe: Delivering) -> None:
    """Deliver what a removed pipe holds within `drain_max`; leave the rest on disk, or book it.

    Removed listeners that feed it are waited for first: what they still read is for it; and so are
    pipes whose dead letters it takes. Cancelled through `pipe.retirement` when the pipe is
    configured again in time.
    """
    with pipe.retirement:
        with trio.move_on_after(relay.config.relay.drain_max):
            for leaving in list(relay.leaving):
                if leaving.feeds(pipe.channel):
                    await leaving.ended.wait()
            for refusing in list(relay.retiring.values()):
                letters = refusing.channel.dead_letters
                if letters is not None and letters.pipe.channel is pipe.channel:
                    await refusing.ended.wait()
            await pipe.channel.empty()
        pipe.stop()
        await pipe.ended.wait()
        await finish_spools(relay, [pipe.name], relay.config.relay.drain_max)
        if relay.retiring.get(pipe.name) is not pipe:
            return  # configured again in this very turn
        dropped = pipe.close(Drop.REMOVED)
        pipe.channel.close()
        pipe.channel.account.numbers_used = pipe.channel.next
        del relay.retiring[pipe.name]
        left = pipe.channel.held().spool
        pipe.channel.orphan = bool(left)
        if pipe.channel.backlog is not None:
            pipe.channel.forget_tail()
            relay.orphans[pipe.name] = pipe.channel
        log.info("pipe %s is removed, %d messages dropped, %d left in its spool",
                 pipe.name, dropped, left)  # fmt: skip
