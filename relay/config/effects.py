"""Keys of rules and of senders that change nothing where they stand."""

import contextlib
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from relay.config.model import Config, PipeKeys
from relay.core.component import Listener
from relay.core.match import Match
from relay.core.values import host_of

LEAST_SEVERE = 7  # debug: RFC 5424 section 6.2.1


def without_effect(config: Config) -> Iterator[str]:
    """Warnings; what a pipe for dead letters has of its own pipe is that one's."""
    for name, listener in config.listeners.items():
        for text in _of_listener(listener):
            yield f"listener {name}: {text}"
    for name, pipe in config.pipes.items():
        feeding = config.feeding(name)
        if not feeding:
            continue
        for text in (
            *_of_match("match", pipe.match, feeding),
            *_of_sample(pipe, feeding),
            *_of_pressure(config, name),
            *_of_rewrite(pipe, feeding),
            *_of_addresses(config, pipe),
        ):
            yield f"pipe {name}: {text}"


def _of_listener(listener: Listener) -> Iterator[str]:
    if "silent_after" in getattr(listener, "model_fields_set", ()) and not listener.expect:
        yield "silent_after means nothing without expect"
    if listener.hop and listener.type in ("internal", "kmsg"):
        yield "hop means nothing: no other relay's messages come here"


def _of_match(key: str, match: Sequence[Match], feeding: Sequence[str]) -> Iterator[str]:
    for place, rule in enumerate(match):
        if rule.listener and not set(rule.listener) & set(feeding):
            names = ", ".join(rule.listener)
            yield f"{key}[{place}] matches nothing: {names} does not feed this pipe"


def _of_sample(pipe: PipeKeys, feeding: Sequence[str]) -> Iterator[str]:
    for place, table in enumerate(pipe.sample):
        yield from _of_match(f"sample[{place}].match", table.match, feeding)
    every = next((place for place, table in enumerate(pipe.sample) if not table.match), None)
    if every is not None and every + 1 < len(pipe.sample):
        yield f"sample[{every}] matches every message: those behind it mean nothing"


def _of_pressure(config: Config, name: str) -> Iterator[str]:
    """`shed` and `rate_limit` leave alone what senders will be told yes for."""
    pipe = config.pipes[name]
    if pipe.shed is not None and pipe.shed.below == LEAST_SEVERE:
        yield "shed drops nothing: no severity is below debug"
    keeps = config.spool(name) != "never" or pipe.overflow == "block"
    if keeps and all(config.listeners[it].acknowledges for it in config.feeding(name)):
        for key in ("shed", "rate_limit"):
            if getattr(pipe, key) is not None:
                yield f"{key} drops nothing: it keeps, and all that feed it answer their senders"


def _of_rewrite(pipe: PipeKeys, feeding: Sequence[str]) -> Iterator[str]:
    for place, table in enumerate(pipe.rewrite):
        yield from _of_match(f"rewrite[{place}].match", table.match, feeding)
        if not table.model_fields_set - {"match"}:
            yield f"rewrite[{place}] sets nothing"


def _of_addresses(config: Config, pipe: PipeKeys) -> Iterator[str]:
    if "resolve_every" in pipe.model_fields_set and not pipe.each_address:
        yield "resolve_every means nothing without each_address"
    if pipe.each_address:
        address = getattr(config.destinations[pipe.to[0]], "address", "")
        if _is_number(host_of(address)):
            yield f"each_address means nothing: {address} is one"


def _is_number(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ip_address(host.partition("%")[0]))
    return False
