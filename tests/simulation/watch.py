"""Who looks on while the relay works: what is put, numbered, and taken away by rules."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.expiry import Expiry
from relay.core.match import Views
from relay.core.router import Router
from relay.core.rules import Rules
from relay.core.spooling import Spooling
from tests.simulation.world import World


@contextmanager
def watched(world: World) -> Iterator[None]:
    """The hand-over points tell the world what passes them; what they do is what ships."""
    route, keep, put = Router.put, Rules._keep, Channel.put
    expire, renumber = Expiry.drop, Spooling._renumber

    def put_all(router: Router, batch: Batch) -> None:
        world.truth.route(router, batch)
        route(router, batch)

    def keep_some(
        rules: Rules, channel: Channel, views: Views, places: Sequence[int]
    ) -> Sequence[int]:
        name = channel.account.name
        watch = world.rules[name]
        watch.begin(world.lives[-1], rules, may_change=name in world.removed)
        kept = keep(rules, channel, views, places)
        watch.look(channel, views, places, kept)
        return kept

    def expire_some(expiry: Expiry, channel: Channel) -> None:
        waiting = list(channel._queue.waiting)
        now_ns = expiry.clock.wall_ns()
        expire(expiry, channel)
        left = set(map(id, channel._queue.waiting))
        gone = [entry for entry in waiting if id(entry) not in left]
        world.rules[channel.account.name].expired(gone, now_ns)

    def put_one(channel: Channel, batch: Batch, *, full: bool | None = None) -> None:
        first = channel.next
        put(channel, batch, full=full)
        if channel.next > first:
            world.number(channel, first, batch)

    def renumber_all(spooling: Spooling, delta: int, *, again: bool) -> None:
        renumber(spooling, delta, again=again)
        if not (delta or again):
            return
        channel, backlog = spooling._channel, spooling._backlog
        for entry in {*channel._queue.lent, *channel._queue.waiting, *backlog.unwritten}:
            world.number(channel, entry.first, entry.batch)

    with ExitStack() as stack:
        for target, name, replacement in (
            (Router, "put", put_all),
            (Rules, "_keep", keep_some),
            (Channel, "put", put_one),
            (Expiry, "drop", expire_some),
            (Spooling, "_renumber", renumber_all),
        ):
            stack.enter_context(mock.patch.object(target, name, replacement))
        yield
