"""What `relay check` says of a valid configuration: what runs, and what may surprise."""

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import cast

from relay.config.addresses import reaches
from relay.config.admin import exposure
from relay.config.effects import without_effect
from relay.config.model import Config, PipeKeys
from relay.config.words import duration_text, size_text
from relay.core.component import Destination, DestinationKeys

SOURCES = ("kmsg", "journal", "file")  # what is read again from where it was left
FORWARDED = "systemd/journal/syslog"  # the socket to which journald hands on what it gets

Loops = Mapping[tuple[str, str], tuple[str, ...]]


def summary(config: Config) -> list[str]:
    """Lines for people: the relay, its listeners, a line a pipe, then the warnings."""
    return [*_parts(config), *(f"warning: {text}" for text in warnings(config))]


def warnings(config: Config) -> list[str]:
    """What is allowed, and probably not meant."""
    return [
        *_not_there(config),
        *_unused(config),
        *_blocking(config),
        *_twice(config),
        *_not_keeping(config),
        *without_effect(config),
        *_own_listeners(config),
        *_refused_again(config),
        *_nothing_to_share(config),
        *_shared_numbers(config),
        *_not_executable(config),
        *_open_admin(config),
        *_silent(config),
    ]


def _parts(config: Config) -> Iterator[str]:
    yield f"relay {config.relay.name}, state in {os.path.abspath(config.relay.state_dir)}"
    yield f"admin server: {', '.join(config.admin.listen) if config.admin else 'off'}"
    for name, listener in config.listeners.items():
        addresses = ", ".join(endpoint.address for endpoint in listener.endpoints())
        yield f"listener {name}: {listener.type} {addresses}".rstrip()
    for name, pipe in config.pipes.items():
        yield _pipe_text(name, pipe, config)


def _pipe_text(name: str, pipe: PipeKeys, config: Config) -> str:
    rules = len(pipe.match)
    match = f"match {rules} rule{'s' * (rules > 1)}" if rules else "match everything"
    to = " | ".join(f"{it} ({_destination_text(config.destinations[it])})" for it in pipe.to)
    # Only a pipe for dead letters is fed by no listener.
    feeding = ", ".join(config.feeding(name)) or "what is refused"
    return (
        f"{name}: {feeding} -> {to} {match}, {_rules_text(pipe)}{_sharing_text(pipe)}"
        f"memory {size_text(pipe.memory)}, overflow {pipe.overflow}"
        f"{_spool_text(name, pipe, config)}"
    )


def _rules_text(pipe: PipeKeys) -> str:
    """What a pipe does with its messages, in the order in which it does it."""
    parts = {"sample": len(pipe.sample), "shed": pipe.shed is not None,
             "rate limit": pipe.rate_limit is not None, "rewrite": len(pipe.rewrite),
             "mask": len(pipe.mask), "ttl": pipe.ttl is not None}  # fmt: skip
    texts = [
        f"{number} x {name}" if number > 1 else name for name, number in parts.items() if number
    ]
    return "".join(f"{text}, " for text in texts)


def _sharing_text(pipe: PipeKeys) -> str:
    if pipe.sharing is None:
        return ""
    return (
        f"{_addresses_text(pipe)}{pipe.strategy}, return_after {duration_text(pipe.return_after)}, "
        f"stalled_max {duration_text(pipe.stalled_max)}, "
    )


def _addresses_text(pipe: PipeKeys) -> str:
    if not pipe.each_address:
        return ""
    return f"each address, resolve_every {duration_text(pipe.resolve_every)}, "


def _spool_text(name: str, pipe: PipeKeys, config: Config) -> str:
    mode = config.spool(name)
    return "" if mode == "never" else f", spool {mode} {size_text(pipe.spool_size)}"


def _destination_text(destination: Destination) -> str:
    for key in ("address", "path"):
        if where := getattr(destination, key, None):
            return f"{destination.type} {where}"
    for key in ("users", "command"):
        if words := getattr(destination, key, None):
            return f"{destination.type} {' '.join(words)}"
    size = getattr(destination, "size", None)
    return f"{destination.type} {size_text(size)}" if size else destination.type


def _unused(config: Config) -> Iterator[str]:
    feeding = {name for pipe in config.pipes for name in config.feeding(pipe)}
    used = {name for pipe in config.pipes.values() for name in pipe.to}
    for name in config.listeners:
        if name not in feeding:
            yield f"listener {name} feeds no pipe: what it receives goes nowhere"
    for name in config.destinations:
        if name not in used:
            yield f"destination {name} is used by no pipe"


def _blocking(config: Config) -> Iterator[str]:
    for name, pipe in config.pipes.items():
        if pipe.overflow != "block":
            continue
        for listener in config.feeding(name):
            if config.listeners[listener].type == "unix":
                yield (
                    f"pipe {name} blocks and listener {listener} is a unix socket: "
                    "it waits for room at most 1 s, then drops"
                )


def _twice(config: Config) -> Iterator[str]:
    """What the journal brings, and another listener beside it."""
    for name in config.pipes:
        feeding = {listener: config.listeners[listener] for listener in config.feeding(name)}
        journals = [listener for listener, it in feeding.items() if it.type == "journal"]
        for listener, it in feeding.items():
            forwarded = any(FORWARDED in end.address for end in it.endpoints())
            if journals and (it.type == "kmsg" or (it.type == "unix" and forwarded)):
                yield (
                    f"pipe {name}: the journal has what listener {listener} receives: "
                    f"with listener {journals[0]} each of these messages comes twice"
                )
    for listener, it in config.listeners.items():
        if any(FORWARDED in end.address and end.credentials for end in it.endpoints()):
            yield (
                f"listener {listener}: of a process that has ended the journal gives its own id, "
                'which credentials puts in place of the right one (credentials = "off")'
            )


def _not_keeping(config: Config) -> Iterator[str]:
    for name, pipe in config.pipes.items():
        if config.spool(name) != "never" or pipe.overflow == "block":
            continue
        for listener in config.feeding(name):
            it = config.listeners[listener]
            if it.acknowledges:
                does = "goes on" if it.type in SOURCES else "says yes to its senders"
                yield (
                    f"pipe {name} does not keep: listener {listener} {does} "
                    'without it (spool = "always" or overflow = "block" would change that)'
                )


def _own_listeners(config: Config) -> Iterator[str]:
    ours = _reached(config)
    for name, listeners in ours.items():
        for listener in listeners:
            loop = _loop(config, ours, name, listener)
            what = f"destination {name} sends to our own listener {listener}"
            yield f"{what}, in a loop through pipe {' and '.join(loop)}" if loop else what


def _reached(config: Config) -> dict[str, tuple[str, ...]]:
    """The listeners of ours that each destination sends to."""
    reached = {}
    for name, destination in config.destinations.items():
        kind, address = destination.type, getattr(destination, "address", "")
        if kind == "unix":
            kind, address = (
                f"unix-{getattr(destination, 'kind', '')}",
                getattr(destination, "path", ""),
            )
        if not address or kind not in ("tcp", "udp", "unix-datagram", "unix-stream"):
            continue
        reached[name] = tuple(
            listener
            for listener, it in config.listeners.items()
            if any(reaches(kind, address, end, config.relay.name) for end in it.endpoints())
        )
    return reached


def _loop(
    config: Config, ours: Mapping[str, tuple[str, ...]], destination: str, listener: str
) -> list[str]:
    """The pipes on the shortest way from a listener back to a destination; empty: there is none."""
    ways: dict[str, list[str]] = {listener: []}
    waiting = [listener]
    for here in waiting:  # grows
        for name, pipe in config.pipes.items():
            if here not in config.feeding(name):
                continue
            way = [*ways[here], name]
            to = [*pipe.to, *(() if pipe.dead_letter is None else (pipe.dead_letter,))]
            if destination in to:
                return way
            new = [it for each in to for it in ours.get(each, ()) if it not in ways]
            ways.update((there, way) for there in new)
            waiting += new
    return []


def _refused_again(config: Config) -> Iterator[str]:
    for name, pipe in config.pipes.items():
        if pipe.dead_letter in pipe.to:
            yield (
                f"pipe {name}: dead_letter is its own destination {pipe.dead_letter}: "
                "what is too large for it is so again, and then lost"
            )


def _nothing_to_share(config: Config) -> Iterator[str]:
    for name, pipe in config.pipes.items():
        if pipe.sharing is not None or not pipe.from_:
            continue
        for key in ("strategy", "return_after", "stalled_max"):
            if key in pipe.model_fields_set:
                yield f"pipe {name}: {key} means nothing: it has one destination"


def _not_there(config: Config) -> Iterator[str]:
    directories = {"relay.state_dir": config.relay.state_dir}
    for name, destination in config.destinations.items():
        if makes_in := cast("DestinationKeys", destination).makes_in:
            directories[f"destination {name}"] = makes_in[1]
    made = os.path.abspath(config.relay.state_dir)
    for what, directory in directories.items():
        above = os.path.dirname(os.path.abspath(directory))
        if above != made and not os.path.isdir(above):
            yield f"{what}: {above} is not there: it is waited for, and not made"


def _shared_numbers(config: Config) -> Iterator[str]:
    for name, pipe in config.pipes.items():
        stamped = [it for it in pipe.to if config.destinations[it].stamp]
        if stamped and pipe.strategy == "balance" and pipe.sharing is not None:
            whom = "each address" if pipe.each_address else " and ".join(pipe.to)
            yield (
                f"pipe {name} shares its numbered messages out to {whom}: "
                "unless these are one receiver, each sees gaps"
            )


def _silent(config: Config) -> Iterator[str]:
    if not any(listener.type == "internal" for listener in config.listeners.values()):
        yield 'no listener of type "internal": losses are told in the log only'


def _not_executable(config: Config) -> Iterator[str]:
    for name, destination in config.destinations.items():
        command = getattr(destination, "command", None)
        if command and shutil.which(command[0]) is None:
            yield f"destination {name}: there is no program {command[0]} that can be executed"


def _open_admin(config: Config) -> Iterator[str]:
    for endpoint in config.admin.endpoints() if config.admin else ():
        if endpoint.kind == "tcp" and not endpoint.address.startswith("fd:"):
            assert config.admin
            if text := exposure(config.admin, endpoint.address):
                yield text
