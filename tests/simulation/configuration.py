"""What a seed configures: listeners, pipes and destinations of every kind, with small bounds."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from relay.config import Config
from relay.config.model import with_dead_letters
from relay.config.tables import read_tables
from relay.core.component import Destination, Listener
from tests.simulation.network import RELAY

Table = dict[str, Any]

TCP = f"{RELAY}:514"
RELP = f"{RELAY}:2514"
UDP = f"{RELAY}:514"
UNIX = "/run/log"
UNIX_STREAM = "/run/stream"
OWN = "internal"
TWIN = "-twin"  # how a pipe's second destination is called, behind its name
REFUSED = "-refused"  # how the destination of a pipe's dead letters is called, behind its name

LISTENERS: Mapping[str, Table] = {
    "tcp": {"type": "tcp", "listen": [TCP]},
    "relp": {"type": "relp", "listen": [RELP]},
    "udp": {"type": "udp", "listen": [UDP]},
    "unix": {"type": "unix", "path": UNIX},
    "stream": {"type": "unix", "path": UNIX_STREAM, "kind": "stream"},
    OWN: {"type": "internal"},
}
CHANCES = {"tcp": 0.9, "relp": 0.6, "udp": 0.6, "unix": 0.4, "stream": 0.4, OWN: 0.6}
NETWORKED = ("tcp", "relp", "unix-stream")

APP = {"program": "app"}  # what numbered messages are from, and no others
REWRITES: Sequence[Sequence[Table]] = (
    [{"match": APP, "facility": "local4"}],
    [{"match": APP, "host": "fw1.example.net"}],
    [{"match": APP, "program": "gate", "severity": "err"}, {"match": APP, "host": "nobody"}],
    [{"match": APP, "data": {"site@32473": {"name": "berlin"}}}],
)
MASKS: Sequence[Sequence[Table]] = (
    [{"regex": "hush"}],
    [{"regex": "HUSH|(?i)hush", "with": "[secret]"}],
    [{"regex": "h(us)h"}],
    [{"regex": "h(us)h"}, {"regex": r"h\*\*\*h", "with": "[secret]"}],
)


@dataclass(frozen=True, slots=True)
class PipePlan:
    """A pipe and the destination that it alone has; both have its name.

    Some have a second destination, which is like the first but for its address.
    """

    name: str
    kind: str  # "tcp", "relp", "udp", "unix-stream", "unix-datagram", "file" or "memory"
    address: str  # where its peer listens, or the file's path
    destination: Table
    keys: Table
    twin: str = ""  # where the peer of the second destination listens

    @property
    def balances(self) -> bool:
        return bool(self.twin) and self.keys["strategy"] == "balance"

    @property
    def addresses(self) -> Sequence[str]:
        return (self.address, self.twin) if self.twin else (self.address,)

    @property
    def destinations(self) -> Mapping[str, Table]:
        """By name."""
        if not self.twin:
            return {self.name: self.destination}
        host, _, port = self.destination["address"].partition(":")
        second = {**self.destination, "address": f"twin-of-{host}:{port}"}
        return {self.name: self.destination, self.name + TWIN: second}

    @property
    def needle(self) -> bytes:
        """Only messages that contain this are for it."""
        match = self.keys.get("match")
        return match["contains"].encode() if match else b""

    @property
    def letters(self) -> str:
        """The file to which what is refused for good goes; empty: it is lost."""
        return f"/var/log/{self.name}.refused" if "dead_letter" in self.keys else ""

    @property
    def stamps(self) -> bool:
        return bool(self.destination.get("stamp"))

    @property
    def keeps(self) -> bool:
        return bool(self.keys["overflow"] == "block" or self.keys["spool"] != "never")

    @property
    def confirm(self) -> str:
        by_kind = {"relp": "confirmed", "file": "stored", "memory": "stored", "tcp": ""}
        named = by_kind.get(self.kind, "sent") or self.destination["confirm"]
        return "confirmed" if named == "epoch" else str(named)

    @property
    def framing(self) -> str:
        return "relp" if self.kind == "relp" else str(self.destination.get("framing", "octet"))


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is configured at one time."""

    listeners: Mapping[str, Table]
    pipes: Mapping[str, PipePlan]
    relay: Table = field(default_factory=dict)

    def feeding(self, pipe: str) -> Sequence[str]:
        wanted = self.pipes[pipe].keys["from"]
        return list(self.listeners) if wanted == "*" else list(wanted)

    def config(self) -> Config:
        tables = read_tables(
            {
                "relay": self.relay,
                "admin": {"listen": "off"},
                "listeners": dict(self.listeners),
                "destinations": {
                    **{k: v for it in self.pipes.values() for k, v in it.destinations.items()},
                    **{
                        it.keys["dead_letter"]: {"type": "file", "path": it.letters}
                        for it in self.pipes.values()
                        if it.letters
                    },
                },
                "pipes": {
                    name: {**it.keys, "to": [*it.destinations]} for name, it in self.pipes.items()
                },
            }
        )
        assert not tables.problems, tables.problems
        assert tables.relay
        return Config(
            path="relay.toml",
            relay=tables.relay,
            admin=None,
            listeners=cast("dict[str, Listener]", tables.listeners),
            destinations=cast("dict[str, Destination]", tables.destinations),
            pipes=with_dead_letters(tables.pipes),
        )


def draw_plan(chance: random.Random) -> Plan:
    listeners = {
        name: dict(table) for name, table in LISTENERS.items() if chance.random() < CHANCES[name]
    }
    if not listeners.keys() - {OWN}:
        listeners["tcp"] = dict(LISTENERS["tcp"])
    pipes = [_pipe(number, list(listeners), chance) for number in range(chance.choice((1, 2, 3)))]
    relay = {"name": "edge", "drain_max": f"{chance.choice((1, 2, 5))}s"}
    if chance.random() < 0.3:
        relay["memory_max"] = "1MiB"
    return Plan(listeners, {pipe.name: pipe for pipe in pipes}, relay)


def _pipe(number: int, listeners: Sequence[str], chance: random.Random) -> PipePlan:
    kind = chance.choices(
        ("tcp", "relp", "udp", "unix-stream", "unix-datagram", "file", "memory"),
        (40, 20, 8, 6, 6, 14, 6),
    )[0]
    name = f"{kind}{number}"
    keys: Table = {
        "from": "*" if chance.random() < 0.6 else chance.sample(listeners, 1),
        "overflow": chance.choice(("drop-newest", "drop-oldest", "block")),
        "messages": chance.choice((3, 10, 30, 1000)),
        "memory": chance.choice(("64KiB", "1MiB")),
        "spool": chance.choices(("always", "overflow", "never"), (40, 20, 40))[0],
        "commit_every": chance.choice(("0s", "20ms", "1s")),
    }
    if keys["spool"] != "never" and chance.random() < 0.5:
        keys["spool_size"] = "1MiB"
    if chance.random() < 0.3:
        keys["match"] = {"contains": f"key={chance.randrange(2)}"}
    if kind == "unix-datagram":  # which alone refuses for good
        keys["dead_letter"] = name + REFUSED
    plain = PipePlan(name, kind, *_destination(kind, number, chance), keys)
    return _with_changes(_with_rules(_with_twin(plain), listeners))


def _with_twin(pipe: PipePlan) -> PipePlan:
    """With a second destination or not: drawn apart, so that all else is as it would be without."""
    chance = random.Random(repr((pipe.name, pipe.destination, pipe.keys)))
    if pipe.kind not in ("tcp", "relp") or chance.random() > 0.3:
        return pipe
    keys = {
        **pipe.keys,
        "strategy": chance.choice(("failover", "balance")),
        "return_after": chance.choice(("1s", "5s")),
        "stalled_max": chance.choice(("1s", "10s")),
    }
    return replace(pipe, keys=keys, twin=pipe.address.replace("198.51.100.", "198.51.100.1"))


def _with_rules(pipe: PipePlan, listeners: Sequence[str]) -> PipePlan:
    """For one pipe in four a rule that drops, drawn from what the pipe is: it shifts no seed."""
    chance = random.Random(f"{pipe}")
    if chance.random() > 0.25:
        return pipe
    rules: list[Table] = [
        {"ttl": chance.choice(("1s", "10s"))},
        {"rate_limit": chance.choice(("2/s", "20/s")), "burst": chance.choice((1, 50))},
        {"shed": {"below": "warning", "at": chance.choice((0.1, 0.8))}},
    ]
    if "relp" not in (listeners if pipe.keys["from"] == "*" else pipe.keys["from"]):
        rules.append({"sample": {"one_in": chance.choice((2, 7))}})  # says no before any yes
    return replace(pipe, keys=pipe.keys | chance.choice(rules))


def _with_changes(pipe: PipePlan) -> PipePlan:
    """For some pipes rules that change messages, and hop records; drawn from what the pipe is."""
    chance = random.Random(f"changes of {pipe}")
    keys, destination = dict(pipe.keys), dict(pipe.destination)
    if chance.random() < 0.15:
        keys["rewrite"] = chance.choice(REWRITES)
    if chance.random() < 0.15:
        keys["mask"] = chance.choice(MASKS)
    if chance.random() < 0.25:
        destination["stamp"] = True
    return replace(pipe, keys=keys, destination=destination)


def _destination(kind: str, number: int, chance: random.Random) -> tuple[str, Table]:
    """Where the peer listens, or the file is, and the destination's table."""
    host, peer, path = f"198.51.100.{10 + number}", f"peer{number}.example", f"/run/peer{number}"
    found: tuple[str, Table]
    match kind:
        case "tcp":
            found = f"{host}:6514", {"address": f"{peer}:6514", **_confirmation(chance)}
        case "relp":
            window = chance.choice((2, 16, 1024))
            found = f"{host}:2514", {"address": f"{peer}:2514", "window": window}
        case "udp":
            found = f"{host}:514", {"address": f"{peer}:514", "datagram_max": 65507}
        case "unix-stream":
            found = path, {"path": path, "kind": "stream", "framing": "octet"}
        case "unix-datagram":
            found = path, {"path": path}
        case "file":
            path = f"/var/log/{number}.log"
            found = path, {"path": path, "fsync": chance.random() < 0.5}
        case _:
            found = "", {"size": "16MiB"}
    return found[0], {"type": kind.partition("-")[0], **found[1]}


def _confirmation(chance: random.Random) -> Table:
    """The keys of a `tcp` destination that say when a message is delivered."""
    table: Table = {
        "framing": chance.choice(("octet", "lf")),
        "confirm": chance.choice(("sent", "acked", "acked", "epoch")),
        "dead_after": chance.choice(("1s", "2s", "30s")),
    }
    if table["confirm"] == "acked":
        table["replay"] = chance.choice(("0B", "256KiB"))
        table["half_close"] = chance.random() < 0.2
    if table["confirm"] == "epoch":
        table |= {"epoch_bytes": chance.choice(("2KiB", "1MiB")), "epoch_max": "2s"}
    return table


def changed(plan: Plan, chance: random.Random) -> Plan:
    """What an operator may change of it without moving a peer."""
    what = chance.choice(("listener", "bounds", "destination", "drain"))
    if what == "listener":
        name = chance.choice(sorted(plan.listeners))
        zone = chance.choice(("+01:00", "+02:00", "local"))
        return replace(
            plan, listeners={**plan.listeners, name: {**plan.listeners[name], "timezone": zone}}
        )
    if what == "drain":
        return replace(plan, relay={**plan.relay, "drain_max": f"{chance.choice((1, 2, 5))}s"})
    pipe = plan.pipes[chance.choice(sorted(plan.pipes))]
    if what == "bounds":
        keys = {**pipe.keys, "messages": chance.choice((5, 50, 1000))}
        return with_pipe(plan, replace(pipe, keys=keys))
    return with_pipe(plan, replace(pipe, destination={**pipe.destination, **_other(pipe, chance)}))


def _other(pipe: PipePlan, chance: random.Random) -> Table:
    match pipe.kind:
        case "tcp":
            return {"dead_after": f"{chance.randint(5, 60)}s"}
        case "relp":
            return {"window": chance.choice((2, 3, 16, 1024))}
        case "file":
            return {"fsync": chance.random() < 0.5}
        case "udp":
            return {"resolve_every": f"{chance.randint(5, 60)}s"}
        case _:
            return {}


def with_pipe(plan: Plan, pipe: PipePlan) -> Plan:
    return replace(plan, pipes={**plan.pipes, pipe.name: pipe})


def without_pipe(plan: Plan, name: str) -> Plan:
    return replace(plan, pipes={n: it for n, it in plan.pipes.items() if n != name})
