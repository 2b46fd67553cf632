"""What a listener and a destination are: a frozen table of keys with one `run`.

The fields are the TOML keys; all state lives in the coroutine, so that a restart is another call.
A new one is a file, an entry in `LISTENERS` or `DESTINATIONS`, and a page in `docs/`.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated, Literal, Protocol

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from trio_typing import TaskStatus

from relay.core.backlog import SpoolMode
from relay.core.expected import EXPECTED_MAX
from relay.core.intake import Intake
from relay.core.keys import Keys
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Duration, Size
from relay.system.ports import Endpoint, Socket, Touch
from relay.wire.formats import Format
from relay.wire.timestamp import zone

MESSAGE_MIN = 8192  # every receiver should take this much: RFC 5425 section 4.3.1


def _check_zone(name: str) -> str:
    zone(name)
    return name


def _sender(name: str) -> str:
    """A host as it is, an address as those of senders are written."""
    if not re.fullmatch(r"[!-~]{1,255}", name):
        raise ValueError(
            f"expected an address or a host of 1 to 255 printable ASCII characters, not {name!r}"
        )
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def _check_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"{name!r} is named twice")
    return names


Sender = Annotated[
    str,
    AfterValidator(_sender),
    WithJsonSchema({"type": "string", "examples": ["fw1", "192.0.2.7"]}),
]
Expect = Annotated[tuple[Sender, ...], Field(max_length=EXPECTED_MAX), AfterValidator(_check_once)]


class ListenerKeys(Keys):
    """The keys of every listener."""

    message_max: Annotated[Size, Field(ge=MESSAGE_MIN, le=16 << 20)] = 64 << 10
    """Longest message taken whole; what is longer is cut, and counted."""
    timezone: Annotated[str, AfterValidator(_check_zone)] = "local"
    """Zone of stamps that name none: an IANA name, an offset such as "+02:00", or "local"."""
    timestamp: Literal["keep", "received"] = "keep"
    """Whose time messages bear: as they say, or the time of receipt in its place."""
    hop: bool = False
    """Check the hop records of messages: what is missing of an upstream, and what came again."""

    expect: Expect = ()
    """Senders whose silence is told: addresses, or hosts as headers name them."""
    silent_after: Annotated[Duration, Field(ge=1)] = 300.0
    """For how long an expected sender may say nothing."""

    @property
    def acknowledges(self) -> bool:
        return False

    def touches(self) -> Sequence[Touch]:
        """The places in the file system that it needs, for the lock-down."""
        return ()

    def lacking(self) -> str | None:
        """What it needs and this installation has not, in words."""
        return None


class DestinationKeys(Keys):
    """The keys of every destination."""

    format: Format = "preserve"
    """How messages leave: as they came, or converted."""
    stamp: bool = False
    """Write a hop record into each message, so that the next hop can prove gaps."""

    @field_validator("stamp")
    @classmethod
    def _stamp_needs_structured_data(cls, stamp: bool, keys: ValidationInfo) -> bool:
        kind = keys.data.get("format", "preserve")
        if stamp and kind not in ("preserve", "rfc5424"):
            raise ValueError(f"a hop record needs structured data, which {kind!r} has no place for")
        return stamp

    @property
    def spool(self) -> SpoolMode:
        """What `spool = "auto"` of its pipes means: never for what is on this machine."""
        return "never"

    @property
    def descriptors(self) -> int:
        """How many a delivery needs at the most: its connection, and a look-up or the next one."""
        return 2

    def touches(self) -> Sequence[Touch]:
        """The places in the file system that it needs, for the lock-down."""
        return ()

    @property
    def makes_in(self) -> tuple[str, str] | None:
        """The directory in which it makes files, behind the key that says so."""
        return None

    @property
    def opens(self) -> str | None:
        """The one file that its `path` names, which can be no directory."""
        return None

    @property
    def commands(self) -> Sequence[tuple[str, ...]]:
        """What it starts, for the helper that does."""
        return ()


class Listener(Protocol):
    """Receives. Read the socket, put, and never await between the two."""

    @property
    def type(self) -> str: ...

    @property
    def message_max(self) -> int: ...

    @property
    def timezone(self) -> str: ...

    @property
    def hop(self) -> bool: ...

    @property
    def expect(self) -> Sequence[str]: ...

    @property
    def silent_after(self) -> float: ...

    @property
    def timestamp(self) -> Literal["keep", "received"]: ...

    @property
    def local(self) -> bool:
        """True where senders are programs on this machine."""

    @property
    def acknowledges(self) -> bool:
        """True where senders are told when their messages are secured: receipts."""

    def endpoints(self) -> Sequence[Endpoint]:
        """What the supervisor binds and hands to `run`."""

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Receive until `intake.draining` is set and everything that arrived is put; then return.

        Calls `started()` once it receives. Cancelled: puts what it has read, closes connections,
        leaves the sockets to the supervisor.
        """


class Destination(Protocol):
    """Where messages go. One `run` is one attempt: connect, lend, send, settle, until it breaks."""

    @property
    def type(self) -> str: ...

    @property
    def stamp(self) -> bool: ...

    @property
    def spool(self) -> SpoolMode: ...

    @property
    def descriptors(self) -> int:
        """How many a delivery needs at the most."""

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        """Deliver what the lease lends until cancelled.

        Calls `started()` once the destination is reached, which resets the back-off. Cancelled at
        any point, it settles what is known to be delivered, and the lease recalls the rest.

        Raises:
            DestinationDown: not now; try again later.
            DestinationRefused: the message at the head can never be delivered.
        """
