"""What is wrong between tables, or between a table and this host.

The checks of names look at the document itself, so that another mistake in the same table does not
hide theirs.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from relay.config.addresses import clash, group
from relay.config.lines import KeyPath
from relay.config.model import EVERY, dead_letter_pipe
from relay.config.tables import NAME_MAX, Problem, Section, Tables, section
from relay.config.words import choice_text, value_text
from relay.core.component import Destination, Listener
from relay.destinations.names import NAMED
from relay.system.ports import Endpoint

NOT_DEPTH_MAX = 16  # tables in tables; each is a few calls deep when messages are matched


class _Claim(NamedTuple):
    """An address that somebody wants to bind."""

    path: KeyPath
    owner: str
    endpoint: Endpoint


def check_names(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Listeners and destinations that a pipe names and nobody has declared."""
    for name, pipe in section(document, "pipes").items():
        if not isinstance(pipe, dict):
            continue
        path = ("pipes", name)
        yield from _check_each(document, "listeners", (*path, "from"), pipe.get("from"))
        yield from _check_each(document, "destinations", (*path, "to"), pipe.get("to"))
        dead_letter = pipe.get("dead_letter")
        if isinstance(dead_letter, str):
            yield from _check_dead_letter(document, name, dead_letter)
        yield from _check_match(document, (*path, "match"), pipe.get("match"))
        for key in ("sample", "rewrite"):
            yield from _check_rules(document, (*path, key), pipe.get(key))


def check_internal(document: Mapping[str, Any]) -> Iterator[Problem]:
    """A second listener of Relay's own messages; it would take half of them from the first."""
    first = ""
    for name, listener in section(document, "listeners").items():
        if not isinstance(listener, dict) or listener.get("type") != "internal":
            continue
        if first:
            text = f"there is an internal listener already, {value_text(first)}"
            yield Problem(("listeners", name, "type"), text)
        first = first or name


def check_addresses(tables: Tables) -> Iterator[Problem]:
    """Addresses that two want to bind; told at the later one."""
    groups: dict[object, list[_Claim]] = {}
    for later in _claims(tables):
        rivals = groups.setdefault(group(later.endpoint), [])
        earlier = next((it for it in rivals if clash(it.endpoint, later.endpoint)), None)
        rivals.append(later)
        if earlier:
            mine, theirs = later.endpoint.address, earlier.endpoint.address
            same = earlier.owner == later.owner and later.path[0] == "listeners"
            owner = "this listener" if same else earlier.owner
            there = f" ({value_text(theirs)})" if theirs != mine else ""
            text = f"{value_text(mine)} is already taken by {owner}{there}"
            yield Problem(later.path, text)


def check_each_address(tables: Tables) -> Iterator[Problem]:
    """Addresses that a destination is to have, and that its type has not."""
    for name, pipe in tables.pipes.items():
        destination = cast("Destination | None", tables.destinations.get(pipe.to[0]))
        if pipe.each_address and destination is not None and destination.type not in NAMED:
            what = f"destination {value_text(pipe.to[0])} is of type {destination.type}"
            text = f"{what}, which has no address on the network"
            yield Problem(("pipes", name, "each_address"), text)


def check_directories(tables: Tables) -> Iterator[Problem]:
    """Directories in which this process can make no file."""
    if tables.relay:
        yield from _check_directory(("relay", "state_dir"), tables.relay.state_dir)
    for name, destination in tables.destinations.items():
        if destination.makes_in:
            key, directory = destination.makes_in
            yield from _check_directory(("destinations", name, key), directory)
        if destination.opens and os.path.isdir(destination.opens):
            text = f"{os.path.abspath(destination.opens)} is a directory"
            yield Problem(("destinations", name, "path"), text)


def check_modules(tables: Tables) -> Iterator[Problem]:
    """Listeners that need a package of Python which is missing here."""
    for name, listener in tables.listeners.items():
        if text := listener.lacking():
            yield Problem(("listeners", name, "type"), text)


def _check_each(
    document: Mapping[str, Any], kind: Section, path: KeyPath, names: object
) -> Iterator[Problem]:
    """A name, or each of a list of them."""
    every = EVERY if kind == "listeners" else None
    if isinstance(names, str):
        if names != every:
            yield from _check_known(document, kind, path, names)
        return
    seen: dict[str, int] = {}
    for place, name in enumerate(names if isinstance(names, list) else ()):
        if not isinstance(name, str) or name == every:
            continue
        if name in seen:
            yield Problem((*path, place), f"{value_text(name)} is named twice")
        else:
            yield from _check_known(document, kind, (*path, place), name)
        seen[name] = place


def _check_known(
    document: Mapping[str, Any], kind: Section, path: KeyPath, name: str
) -> Iterator[Problem]:
    known = section(document, kind)
    if name not in known:
        singular = kind.removesuffix("s")
        yield Problem(path, f"no {singular} {value_text(name)} {choice_text(name, known)}")


def _check_dead_letter(document: Mapping[str, Any], name: str, to: str) -> Iterator[Problem]:
    path = ("pipes", name, "dead_letter")
    yield from _check_known(document, "destinations", path, to)
    pipe = dead_letter_pipe(name)
    if pipe in section(document, "pipes"):
        yield Problem(path, f"is a pipe of its own, and there is one {value_text(pipe)} already")
    if len(pipe) > NAME_MAX >= len(name):
        longest = NAME_MAX - len(dead_letter_pipe(""))
        yield Problem(path, f"needs a pipe whose name has no more than {longest} characters")


def _check_rules(document: Mapping[str, Any], path: KeyPath, rules: object) -> Iterator[Problem]:
    """`match` in a table, or in each of a list of them."""
    for place, rule in enumerate(rules if isinstance(rules, list) else ()):
        yield from _check_rules(document, (*path, place), rule)
    if isinstance(rules, dict):
        yield from _check_match(document, (*path, "match"), rules.get("match"))


def _check_match(document: Mapping[str, Any], path: KeyPath, rules: object) -> Iterator[Problem]:
    """`listener` in the tables of a `match` and in their `not`."""
    rest: list[tuple[KeyPath, object]] = [(path, rules)]
    while rest:
        path, rule = rest.pop()
        if isinstance(rule, list):
            rest += [((*path, place), each) for place, each in enumerate(rule)]
        elif isinstance(rule, dict) and path.count("not") > NOT_DEPTH_MAX:
            yield Problem(path, f"is nested too deeply, expected no more than {NOT_DEPTH_MAX}")
        elif isinstance(rule, dict):
            rest.append(((*path, "not"), rule.get("not")))
            names = rule.get("listener")
            for place, name in enumerate(names if isinstance(names, list) else [names]):
                if isinstance(name, str):
                    inside = (place,) if isinstance(names, list) else ()
                    where = (*path, "listener", *inside)
                    yield from _check_known(document, "listeners", where, name)


def _claims(tables: Tables) -> Iterator[_Claim]:
    for place, endpoint in enumerate(tables.admin.endpoints() if tables.admin else ()):
        where: KeyPath = ("admin", "listen", place) if place else ("admin", "listen")
        yield _Claim(where, "the admin server", endpoint)
    for name, listener in tables.listeners.items():
        for place, endpoint in enumerate(cast(Listener, listener).endpoints()):
            inet = endpoint.kind in ("udp", "tcp")
            several = isinstance(getattr(listener, "path", None), tuple) and place
            key: KeyPath = ("listen", place) if inet else ("path", place) if several else ("path",)
            yield _Claim(("listeners", name, *key), f"listener {name}", endpoint)


def _check_directory(path: KeyPath, directory: str) -> Iterator[Problem]:
    """It is made when it alone is missing.

    More may be missing, or be there for reading alone, because a file system is not mounted yet, or
    not for writing: then it is waited for.
    """
    there = os.path.abspath(directory)
    missing = 0
    while not os.path.lexists(there):
        there = os.path.dirname(there)
        missing += 1
    if not os.path.isdir(there):
        yield Problem(path, f"{there} is not a directory")
    elif missing > 1 or os.statvfs(there).f_flag & os.ST_RDONLY:
        return
    elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        yield Problem(path, f"{there} is not writable for this user")
