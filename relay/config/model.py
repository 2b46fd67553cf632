"""The tables `[relay]` and `[pipes.NAME]`, and the configuration as a whole.

Listeners and destinations bring their own tables. What stands under a field is the documentation
of its key, for people and in the JSON schema.
"""

import grp
import pwd
import re
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from relay.config.admin import AdminKeys
from relay.core.backlog import SpoolMode
from relay.core.bounds import Overflow
from relay.core.component import Destination, Listener
from relay.core.keys import Keys
from relay.core.match import Match
from relay.core.rules import RuleKeys, no_rules
from relay.core.sharing import Sharing, StrategyName
from relay.core.values import Duration, Path, Size, listed, or_one

EVERY = "*"  # in `from`: every listener
DESTINATIONS_MAX = 16  # of one pipe, or addresses of its one
SPOOL_MODES: tuple[SpoolMode, ...] = ("always", "overflow", "never")  # who keeps most comes first


def _check_name(name: str) -> str:
    # RFC 5424 section 6.2.4: 1 to 255 of these; one that ends in a colon would read as a tag
    if not re.fullmatch(r"[!-~]{1,255}", name) or name.endswith(":"):
        raise ValueError(
            f"expected a host name of 1 to 255 printable ASCII characters, not {name[:300]!r}"
        )
    return name


def _check_user(user: str) -> str:
    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (LookupError, OverflowError):
        raise ValueError(f"no user {user!r} on this host") from None
    if found.pw_uid == 0:
        raise ValueError(f"{user!r} is root, whose privileges are to be given up")
    return user


def _check_group(group: str) -> str:
    try:
        grp.getgrgid(int(group)) if group.isdigit() else grp.getgrnam(group)
    except (LookupError, OverflowError):
        raise ValueError(f"no group {group!r} on this host") from None
    return group


def _host_name() -> str:
    name = re.sub(r"[^!-~]", "-", socket.gethostname()).rstrip(":")
    return name or "localhost"


def _names(examples: list[Any]) -> dict[str, Any]:
    """The schema of a name, or of a list of names."""
    names = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
    return {"anyOf": [{"type": "string", "minLength": 1}, names], "examples": examples}


def _check_from(names: tuple[str, ...]) -> tuple[str, ...]:
    if EVERY in names and len(names) > 1:
        raise ValueError('"*" is every listener; no other name stands beside it')
    return names


class RelayKeys(Keys):
    """The relay as a whole."""

    name: Annotated[str, AfterValidator(_check_name)] = Field(default_factory=_host_name)
    """The name this relay gives itself, also in messages that name no host; default: the host's."""
    state_dir: Path = "state"
    """Directory for what must outlive the process; relative to the working directory."""
    memory_max: Annotated[Size, Field(ge=1 << 20, le=1 << 40)] = 256 << 20
    """Octets that all pipes together may hold: half is split equally, half goes to who needs it."""
    drain_max: Annotated[Duration, Field(le=86400)] = 5.0
    """How long a stop may take to deliver what is held."""
    user: Annotated[str, AfterValidator(_check_user)] | None = None
    """Started as root: the user to become, name or number, when all sockets are bound."""
    group: Annotated[str, AfterValidator(_check_group)] | None = None
    """The group to be in then; default: that of the user."""
    sandbox: Literal["auto", "require", "off"] = "auto"
    """Lock the process in with Landlock and seccomp: as far as the kernel can, fully, or not."""

    @field_validator("group")
    @classmethod
    def _group_needs_user(cls, group: str | None, keys: ValidationInfo) -> str | None:
        if group is not None and keys.data.get("user", "") is None:
            raise ValueError('needs the key "user" beside it')
        return group


class PipeKeys(RuleKeys):
    """Which messages go to one destination, and what is held for it."""

    from_: Annotated[
        tuple[str, ...],
        BeforeValidator(listed),
        Field(min_length=1, alias="from"),
        AfterValidator(_check_from),
        WithJsonSchema(_names(["*", ["net-udp", "net-tcp"]])),
    ]
    """Names of the listeners that feed this pipe; "*": every one, `internal` included."""
    to: Annotated[
        tuple[str, ...],
        BeforeValidator(listed),
        Field(min_length=1, max_length=DESTINATIONS_MAX),
        WithJsonSchema(_names([["siem-a", "siem-b"]])),
    ]
    """Name of the destination, or of several: `strategy` says who of them gets what."""
    strategy: StrategyName = "failover"
    """Of several destinations: the first one that is up gets all, or all that are up share it."""
    return_after: Annotated[Duration, Field(ge=1, le=86400)] = 30.0
    """Of several: for how long one must be healthy again before it gets messages back."""
    stalled_max: Annotated[Duration, Field(ge=1, le=31_536_000)] = 60.0
    """Of several: for how long one may be shown as stalled before others take over."""
    each_address: bool = False
    """Each address of the one destination counts as one of several; its SRV records rank them."""
    resolve_every: Annotated[Duration, Field(ge=1, le=86400)] = 60.0
    """With `each_address`: how often the name is looked up again; not sooner than the DNS says."""
    match: Annotated[
        tuple[Match, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)
    ] = ()
    """Tables of which a message must match any, with all keys in it; default: every message."""
    dead_letter: str | None = None
    """Name of a destination for what `to` refuses for good; default: it is lost, and counted."""
    memory: Annotated[Size, Field(ge=64 << 10, le=1 << 40)] = 64 << 20
    """Octets held at most, each message's overhead included."""
    messages: Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)] = 500_000
    """Messages held at most."""
    overflow: Overflow = "drop-newest"
    """What happens when the pipe is full; "block" makes its listeners wait."""
    spool: Literal["always", "overflow", "never", "auto"] = "auto"
    """When messages are kept on disk: "auto" is what suits the type of the destination."""
    spool_size: Annotated[Size, Field(ge=1 << 20, le=1 << 44)] = 1 << 30
    """Octets of disk that the spool may use."""
    commit_every: Annotated[Duration, Field(le=10)] = 0.02
    """How long what is put may wait to be synced together, while no sender waits for it."""

    @property
    def destination(self) -> str:
        """What the destination is called, all its names where there are several."""
        return ",".join(self.to)

    @property
    def sharing(self) -> Sharing | None:
        """How it goes about several destinations; None where there is one."""
        if len(self.to) == 1 and not self.each_address:
            return None
        every = self.resolve_every if self.each_address else None
        return Sharing(self.strategy, self.return_after, self.stalled_max, every)

    @field_validator("each_address")
    @classmethod
    def _addresses_are_of_one(cls, each_address: bool, keys: ValidationInfo) -> bool:
        if each_address and len(keys.data.get("to", ())) > 1:
            raise ValueError("needs one destination, whose addresses these are")
        return each_address


# Standard input and output, what Trio waits with, the crash page, the file of the configuration at
# a reload, the service manager, and the admin server with some connections.
BASE_DESCRIPTORS = 24
SPOOL_DESCRIPTORS = 8  # directory, lock, cursor, the segments that are written and read


def dead_letter_pipe(pipe: str) -> str:
    """The name of the pipe for the dead letters of a pipe."""
    return f"{pipe}.dead-letter"


def with_dead_letters(pipes: Mapping[str, PipeKeys]) -> dict[str, PipeKeys]:
    """These pipes, and behind them one for the dead letters of each that wants it.

    No listener feeds such a pipe, and it has no rules. It is bounded as its own one is, cannot make
    anybody wait, and has the spool that suits its destination.
    """
    return {**pipes} | {
        dead_letter_pipe(name): keys.model_copy(
            update={"from_": (), "to": (keys.dead_letter,), "match": (), "dead_letter": None,
                    "each_address": False,
                    "overflow": "drop-newest", "spool": "auto", **no_rules()}
        )
        for name, keys in pipes.items()
        if keys.dead_letter is not None
    }  # fmt: skip


class Config(NamedTuple):
    """A valid configuration. Two are equal when they mean the same."""

    path: str
    relay: RelayKeys
    admin: AdminKeys | None  # None: switched off
    listeners: Mapping[str, Listener]
    destinations: Mapping[str, Destination]
    pipes: Mapping[str, PipeKeys]  # those for dead letters included, behind the others

    def spool(self, pipe: str) -> SpoolMode:
        """The key `spool` of a pipe, "auto" resolved: what keeps most of what they ask for."""
        keys = self.pipes[pipe]
        if keys.spool == "auto":
            modes = {self.destinations[name].spool for name in keys.to}
            return next(mode for mode in SPOOL_MODES if mode in modes)
        return keys.spool

    @property
    def descriptors(self) -> int:
        """How many this may need at the most, connections of senders left aside."""
        listening = sum(2 * len(it.endpoints()) + 2 for it in self.listeners.values())
        delivering = sum(
            self.destinations[name].descriptors * (DESTINATIONS_MAX if it.each_address else 1)
            for it in self.pipes.values()
            for name in it.to
        )
        spools = sum(SPOOL_DESCRIPTORS for name in self.pipes if self.spool(name) != "never")
        return BASE_DESCRIPTORS + listening + delivering + spools

    def feeding(self, pipe: str) -> tuple[str, ...]:
        """The names of the listeners that feed a pipe, "*" resolved."""
        names = self.pipes[pipe].from_
        return tuple(self.listeners) if EVERY in names else names
