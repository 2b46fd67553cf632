"""What the tests of several destinations for one channel share: how they are run."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from relay.core.balance import Balance
from relay.core.channel import Channel
from relay.core.component import Destination
from relay.core.dead_letters import DeadLetters
from relay.core.delivery import deliver_from
from relay.core.failover import Failover, Standing
from relay.core.pipe import Pipe
from relay.core.place import Place
from tests.core.parts import check, make_channel, make_host, make_outlet, waiting


class Named(Destination, Protocol):
    @property
    def name(self) -> str: ...


@asynccontextmanager
async def delivering_by(
    sharing: Failover | Balance,
    channel: Channel,
    seats: Sequence[Standing | Place],
    peers: Sequence[Named],
) -> AsyncIterator[None]:
    """All deliver while inside; one that crashes is started again. The books balance at the end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sharing.run)
        for seat, peer in zip(seats, peers, strict=True):
            nursery.start_soon(_supervise, channel, seat, peer)
        yield
        check(channel)
        nursery.cancel_scope.cancel()
    check(channel)
    assert not channel._leased


async def _supervise(channel: Channel, seat: Standing | Place, peer: Named) -> None:
    outlet = make_outlet(channel)._replace(destination=peer.name)
    while True:
        try:
            await deliver_from(seat, peer, outlet)
        except* ZeroDivisionError:
            channel.account.restarts += 1
            seat.crashed()
        await trio.sleep(1)


def with_letters(channel: Channel) -> Channel:
    """Give it dead letters; returns the channel that they are put to."""
    letters = make_channel()
    channel.dead_letters = DeadLetters(Pipe("letters", (), letters), "a,b", make_host())
    return letters


def refused_by(letters: Channel) -> list[str]:
    """The destination that each letter names."""
    texts = [text.decode() for batch in waiting(letters) for text in batch.messages]
    return [text.partition(" destination=")[2].partition(" ")[0] for text in texts]
