"""From one configuration to the next, changing only what differs. The first one starts from none.

Plain functions: nothing awaits between the first change and the last, so no batch meets half of
it. What has to end takes its time in tasks of its own, and its successor waits for it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import trio

from relay.config import Config
from relay.config.addresses import clash
from relay.config.model import dead_letter_pipe
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.component import Listener
from relay.core.dead_letters import DeadLetters
from relay.core.expiry import Expiry
from relay.core.intake import Intake
from relay.core.outlet import Outlet
from relay.core.pipe import Pipe
from relay.core.router import Router
from relay.core.rules import Rules, rule_values
from relay.core.streams import Streams
from relay.supervisor.bindings import key
from relay.supervisor.delivering import Delivering
from relay.supervisor.listening import Listening, drain_sockets, listen
from relay.supervisor.recovery import open_channel
from relay.supervisor.retire import retire
from relay.supervisor.several import Member
from relay.supervisor.spools import give_spool
from relay.supervisor.state import Relay, routes
from relay.system.ports import Socket


class Nurseries(NamedTuple):
    """Where tasks are started; their nesting is the order of the shutdown."""

    receiving: trio.Nursery  # listeners: ends first
    delivering: trio.Nursery  # pipes, and the listener of our own messages


def apply(relay: Relay, new: Config, nurseries: Nurseries) -> None:
    """Make the relay what the new configuration says."""
    old, relay.config = relay.config, new
    renamed = old.relay.name != new.relay.name
    relay.memory.resize(new.relay.memory_max)
    relay.machine.reserve(new.descriptors)
    pipes = {name: _pipe(relay, name, old, renamed, nurseries) for name in new.pipes}
    for name in relay.rules.keys() - new.pipes.keys():
        del relay.rules[name]
    for name in relay.pipes.keys() - new.pipes.keys():
        going = relay.retiring[name] = relay.pipes.pop(name)
        going.retirement = trio.CancelScope()
        nurseries.delivering.start_soon(retire, relay, going)
    for name, pipe in pipes.items():
        pipe.channel.dead_letters = _dead_letters(relay, name, pipes)
    before = relay.router.routes
    relay.router.routes = routes(new, pipes)
    _listeners(relay, old, renamed, before, nurseries)
    relay.rings.keep_only([name for name, it in new.destinations.items() if it.type == "memory"])
    relay.own.want(any(it.type == "internal" for it in new.listeners.values()))


# -- pipes


def _pipe(relay: Relay, name: str, old: Config, renamed: bool, nurseries: Nurseries) -> Pipe:
    """The pipe as configured now, its delivery running; an unchanged one is not disturbed."""
    keys = relay.config.pipes[name]
    bounds = Bounds(keys.messages, keys.memory, keys.overflow)
    account = relay.ledger.pipe(name, *keys.to)
    running = relay.pipes.get(name) or relay.retiring.pop(name, None)
    known = relay.orphans.pop(name, None)
    if running is not None:
        running.retirement.cancel()
        known = running.channel
    if known is not None:
        known.bound(bounds)
        known.reopen()
    channel = known or open_channel(relay, account, bounds)
    channel.expiry = _expiry(relay, name)
    give_spool(relay, name, channel, nurseries.delivering)
    if _changed(relay, name, old, renamed=renamed):
        _deliver(relay, name, channel, running, nurseries, renamed=renamed)
    return Pipe(name, keys.match, channel, _rules(relay, name, old, renamed))


def _expiry(relay: Relay, name: str) -> Expiry | None:
    ttl = relay.config.pipes[name].ttl
    if ttl is None:
        return None
    return Expiry(round(ttl * 1e9), relay.machine.host(relay.config.relay.name).clock)


def _rules(relay: Relay, name: str, old: Config, renamed: bool) -> Rules | None:
    """The rules of a pipe; unchanged ones go on counting where they are."""
    keys, before = relay.config.pipes[name], old.pipes.get(name)
    unchanged = before is not None and rule_values(before) == rule_values(keys) and not renamed
    if not unchanged or name not in relay.rules:
        rules = relay.rules[name] = Rules.of(keys, relay.config.relay.name)
        for rule in rules.names if rules is not None else ():
            relay.ledger.pipes[name].changed.setdefault(rule, 0)
    return relay.rules[name]


def _changed(relay: Relay, name: str, old: Config, *, renamed: bool) -> bool:
    """Whether anything is other than it was of what the pipe's deliveries go by."""
    if renamed or name not in relay.pipes:
        return True
    now, before = relay.config.pipes[name], old.pipes[name]
    return (
        now.to != before.to
        or now.sharing != before.sharing
        or any(old.destinations[it] != relay.config.destinations[it] for it in now.to)
    )


def _deliver(
    relay: Relay,
    name: str,
    channel: Channel,
    before: Delivering | None,
    nurseries: Nurseries,
    *,
    renamed: bool,
) -> None:
    """Change the deliveries of a pipe where they can go on, or put others in their place."""
    keys = relay.config.pipes[name]
    # Also when nobody stamps any more: the delivery before may be about to lend. And of several,
    # what one has may go straight to another, who stamps from a reload on.
    if keys.sharing is not None or any(relay.config.destinations[it].stamp for it in keys.to):
        channel.lends_numbers = True
    members = [_member(relay, name, channel, it) for it in keys.to]
    live = relay.pipes.get(name)
    if live is not None and not renamed and live.arrange(members, keys.sharing):
        return
    channel.account.configure(keys.to)
    for member in members:
        member.outlet.health.active = True
    now = Delivering(name, channel, relay.machine, members, keys.sharing, before)
    if before is not None:
        channel.forget_tail()
        before.scope.cancel()
    relay.pipes[name] = now
    nurseries.delivering.start_soon(now.run, relay.config.relay.drain_max)


def _member(relay: Relay, pipe: str, channel: Channel, destination: str) -> Member:
    outlet = Outlet(
        pipe=pipe,
        destination=destination,
        host=relay.machine.host(relay.config.relay.name),
        account=channel.account,
        rings=relay.rings,
        reopening=relay.reopening,
        hop=relay.hop(pipe) if relay.config.destinations[destination].stamp else None,
    )
    return Member(relay.config.destinations[destination], outlet)


def _dead_letters(relay: Relay, name: str, pipes: Mapping[str, Pipe]) -> DeadLetters | None:
    keys = relay.config.pipes[name]
    if keys.dead_letter is None:
        return None
    return DeadLetters(pipes[dead_letter_pipe(name)], keys.destination, relay.pipes[name].host)


# -- listeners


Routes = Mapping[str, Sequence[Pipe]]


def _listeners(
    relay: Relay, old: Config, renamed: bool, routes_before: Routes, nurseries: Nurseries
) -> None:
    new = relay.config
    before = dict(relay.listeners)
    kept = {
        name
        for name, it in new.listeners.items()
        if name in before and not renamed and old.listeners[name] == it
    }
    changed = [before[name] for name in before.keys() - kept]
    for listening in changed:
        listening.scope.cancel()
    claimed = {key(e) for it in new.listeners.values() for e in it.endpoints()}
    for listening in changed:
        _part(relay, listening, claimed, routes_before, nurseries)
    for name, component in new.listeners.items():
        if name not in kept:
            _listen(relay, name, component, before, nurseries)


def _listen(
    relay: Relay,
    name: str,
    component: Listener,
    before: dict[str, Listening],
    nurseries: Nurseries,
) -> None:
    intake = Intake(
        listener=name,
        host=relay.machine.host(relay.config.relay.name),
        router=relay.router,
        account=relay.ledger.listener(name),
        message_max=component.message_max,
        timezone=component.timezone,
        upstreams=relay.ledger.upstreams if component.hop else None,
        restamp=component.timestamp == "received",
        local=component.local,
        acknowledges=component.acknowledges,
        own=relay.own,
        streams=_streams(component, before.get(name)),
        positions=relay.positions_of(component.type, name),
    )
    senders = intake.account.senders
    senders.expected.expect(component.expect, component.silent_after, relay.now())
    have = relay.bindings.sockets
    intake.account.bound = all(key(endpoint) in have for endpoint in component.endpoints())
    listening = relay.listeners[name] = Listening(name, component, intake)
    nursery = nurseries.delivering if component.type == "internal" else nurseries.receiving
    after = [it.ended for it in before.values() if it.name == name or _meet(component, it)]
    after += [it.ended for it in relay.leaving if _meet(component, it)]
    nursery.start_soon(listen, listening, relay.bindings, after)


def _meet(component: Listener, other: Listening) -> bool:
    """Whether one has to be off its sockets before the other can bind or use its own."""
    return any(
        key(mine) == key(its) or clash(mine, its)
        for mine in component.endpoints()
        for its in other.component.endpoints()
    )


def _streams(component: Listener, before: Listening | None) -> Streams:
    """The connections of the listener of this name before, if it was one of the same kind."""
    inherits = before is not None and _kinds(before.component) == _kinds(component)
    return before.intake.streams if before is not None and inherits else Streams()


def _kinds(component: Listener) -> set[tuple[str, str]]:
    return {(component.type, endpoint.kind) for endpoint in component.endpoints()}


def _part(
    relay: Relay,
    old: Listening,
    claimed: set[tuple[str, str]],
    routes_before: Routes,
    nurseries: Nurseries,
) -> None:
    """What a changed or removed listener leaves to nobody: its sockets and connections.

    Both are read to their end, in the account of the old listener and along the routes it had: a
    router of their own, which no reload after this one changes.
    """
    now = relay.config.listeners.get(old.name)
    inherits = now is not None and _kinds(now) == _kinds(old.component)
    if now is None:
        del relay.listeners[old.name]
        old.intake.account.bound = False
        old.intake.account.senders.expected.expect((), 0.0, relay.now())
    sockets = [
        socket
        for endpoint in old.component.endpoints()
        if key(endpoint) not in claimed
        for socket in relay.bindings.take(endpoint)
    ]
    router = Router(relay.ledger, {old.name: routes_before.get(old.name, ())})
    if now is None:  # it may have been woken in this very turn, and read once more
        old.intake.router = router
    rest = Intake(
        listener=old.name,
        host=old.intake.host,
        router=router,
        account=old.intake.account,
        message_max=old.intake.message_max,
        timezone=old.intake.timezone,
        upstreams=old.intake.upstreams,
        restamp=old.intake.restamp,
        local=old.intake.local,
        acknowledges=old.intake.acknowledges,
        positions=old.intake.positions,
        streams=Streams() if inherits else old.intake.streams,
    )
    leaving = Listening(old.name, old.component, rest)
    leaving.drain(relay.now() + relay.config.relay.drain_max / 2)
    if sockets or rest.streams.table:
        relay.leaving.add(leaving)
        nurseries.receiving.start_soon(_leave, relay, leaving, sockets, old.ended)


async def _leave(
    relay: Relay, leaving: Listening, sockets: list[Socket], after: trio.Event
) -> None:
    try:
        await drain_sockets(leaving, sockets, after)
    finally:
        relay.leaving.discard(leaving)
