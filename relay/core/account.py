"""One book for each pipe and each listener: plain integers, changed at the hand-over points.

Everything runs in one thread, so a reader that does not await sees books that balance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from relay.core.files import FileCounts
from relay.core.health import Health
from relay.core.senders import Senders
from relay.core.skew import Skews
from relay.system.ports import TlsReason
from relay.wire.framing import FramingCounts


class Drop(StrEnum):
    """Why a pipe dropped a message. Closed: docs/ledger.md describes each."""

    FULL = "full"
    OLDEST = "oldest"
    EXPIRED = "expired"
    RATE = "rate"
    SHED = "shed"
    SAMPLED = "sampled"
    REFUSED = "refused"
    TOO_LARGE = "too-large"
    DAMAGED = "damaged"
    SHUTDOWN = "shutdown"
    REMOVED = "removed"
    CRASH = "crash"
    INTERNAL_ERROR = "internal-error"


class Confirmation(StrEnum):
    """Who is known to have a delivered message."""

    SENT = "sent"  # our kernel took it
    ACKED = "acked"  # the peer's kernel has it, or who reads a pipe has read it
    CONFIRMED = "confirmed"  # the peer's application said so
    STORED = "stored"  # written to a file or a ring of ours


class Refusal(StrEnum):
    """Why a listener did not accept a message."""

    EMPTY = "empty"  # a frame or datagram without a single octet
    NOT_ALLOWED = "not-allowed"  # its sender is not in `allow`
    RATE = "rate"  # a datagram of a sender above its `rate_limit`
    BACKLOG = "backlog"  # own messages while the book of own messages is full
    DAMAGED = "damaged"  # an entry of the journal that cannot be read
    INTERNAL_ERROR = "internal-error"  # a bug of ours; the traceback is in the log


class ConnectionRefusal(StrEnum):
    """Why a listener closed a connection at once."""

    CONNECTIONS_MAX = "connections-max"
    CONNECTIONS_PER_ADDRESS_MAX = "connections-per-address-max"
    ACCEPT_RATE = "accept-rate"  # its sender connects more often than `accept_rate`
    NOT_ALLOWED = "not-allowed"  # its sender is not in `allow`
    TLS_UNUSABLE = "tls-unusable"  # what its listener needs for TLS cannot be read


# How a sender's connection ends badly; docs/ledger.md describes each.
CONNECTION_FAILURES = (
    "reset", "idle", "first-byte", "unfinished", "unread", "tls", "protocol", "too-large",
    "unanswered", "internal-error", *(f"tls-{reason}" for reason in TlsReason),
)  # fmt: skip


class Held(NamedTuple):
    """What a channel holds at this moment."""

    memory: int = 0  # messages waiting in memory
    lent: int = 0  # messages a delivery has in hand
    spool: int = 0  # messages only on disk, or on their way there
    orphan: int = 0  # messages on disk whose pipe is no longer configured
    octets: int = 0  # of those in memory and in hand
    at_risk: int = 0  # messages that a crash would lose now, and no sender would send again
    oldest_ns: int | None = None  # when the oldest of those in memory was received
    at_risk_oldest_ns: int | None = None  # and the oldest of those at risk

    @property
    def messages(self) -> int:
        return self.memory + self.lent + self.spool + self.orphan


class Holder(Protocol):
    def held(self) -> Held: ...


class Record(Protocol):
    """Where a pipe's book survives the process."""

    def write(
        self,
        account: "PipeAccount",
        *,
        next_number: int,
        head: int,
        owed: int,
        at_risk: int,
        end: int | None,
    ) -> None:
        """After a change of the books: the next message's number, and the oldest one held.

        Of those held, how many are owed an answer, and how many a crash would lose. What has a
        number from `end` on was dropped, and may be on disk.
        """


def _no_loss(account: "PipeAccount", reason: Drop, messages: int) -> None:
    """Told to nobody: the default of an account that stands alone."""


@dataclass(slots=True, eq=False, repr=False)
class PipeAccount:
    """A pipe's book. Invariant: `residual() == 0` whenever no function of ours is on the stack."""

    name: str
    on_loss: Callable[["PipeAccount", Drop, int], None] = _no_loss
    destination: str = ""
    holder: Holder | None = None
    renumbered: int = 0  # times numbers were used that other messages may have been sent with
    numbers_used: int = 0  # below this: by channels of this pipe that are closed
    received: int = 0
    recovered: int = 0
    filtered: int = 0
    delivered: dict[Confirmation, int] = field(
        default_factory=lambda: dict.fromkeys(Confirmation, 0)
    )
    dropped: dict[Drop, int] = field(default_factory=lambda: dict.fromkeys(Drop, 0))
    notices_dropped: int = 0  # of the dropped: notices of loss, which are counted and never told
    dead_letters: int = 0  # of the dropped: handed over to another pipe, so no loss to tell
    changed: dict[str, int] = field(default_factory=dict)  # messages, by rule: `mask[0]`
    retried: int = 0
    replayed: int = 0
    in_doubt: int = 0  # delivered, perhaps unread by a peer that broke off, and not sent again
    unseen: int = 0  # delivered while nobody was there to see them
    missed: int = 0  # messages times the terminals that did not show them
    epochs: int = 0  # times a peer has confirmed all of a connection by ending it after us
    truncated: int = 0
    truncated_octets: int = 0
    network_errors: int = 0  # ICMP errors on a UDP destination; no message is dropped for one
    failovers: int = 0  # times the messages went over to another of several destinations
    resolve_failures: int = 0  # look-ups for `each_address` that did not give all addresses
    restarts: int = 0  # unexpected exceptions
    healths: dict[str, Health] = field(default_factory=dict)  # of all it ever had, by name
    shared: bool = False  # it has had several at a time

    def health(self, destination: str) -> Health:
        """Of this destination, for the life of the account."""
        found = self.healths.get(destination)
        if found is None:
            found = self.healths[destination] = Health(destination)
        return found

    def configure(self, destinations: Sequence[str]) -> None:
        """The messages go to these from now on; until more is known, to any that is new."""
        self.shared = self.shared or len(destinations) > 1
        for name in destinations:
            self.health(name)
        for name, health in self.healths.items():
            configured = name in destinations
            if configured != health.configured:
                health.active = configured
            health.configured = configured

    @property
    def up(self) -> bool:
        """A destination that the messages go to is reached."""
        return any(it.up and it.active for it in self.healths.values())

    @property
    def stalled(self) -> bool:
        """A destination that the messages go to is reached, and does not read."""
        return any(it.stalled and it.active for it in self.healths.values())

    @property
    def down_reason(self) -> str:
        """Why none is reached; of several with their names."""
        configured = [it for it in self.healths.values() if it.configured]
        down = [it for it in configured if it.down_reason]
        if self.up:
            return ""
        if len(configured) == 1:
            return "".join(it.down_reason for it in down)
        return "; ".join(f"{it.destination}: {it.down_reason}" for it in down)

    @property
    def connections(self) -> int:
        return sum(it.connections for it in self.healths.values())

    @property
    def failures(self) -> int:
        return sum(it.failures for it in self.healths.values())

    def drop(self, messages: int, reason: Drop, *, notice: bool = False) -> None:
        self.dropped[reason] += messages
        if notice:
            self.notices_dropped += messages
        elif reason is not Drop.SAMPLED:  # goes on for ever, as it is meant to
            self.on_loss(self, reason, messages)

    def hand_over(self, messages: int, reason: Drop) -> None:
        """Dropped here, and put to the pipe of the dead letters, which answers for them."""
        self.dropped[reason] += messages
        self.dead_letters += messages

    def held(self) -> Held:
        return self.holder.held() if self.holder else Held()

    def residual(self) -> int:
        """Messages that the book cannot explain: 0, or there is a bug."""
        held = self.held()
        gone = self.filtered + sum(self.delivered.values()) + sum(self.dropped.values())
        return self.received + self.recovered - gone - held.messages


@dataclass(slots=True, eq=False, repr=False)
class ListenerAccount:
    """A listener's book. Invariant: `received == accepted + Σ refused`."""

    name: str
    received: int = 0
    received_octets: int = 0
    accepted: int = 0
    refused: dict[Refusal, int] = field(default_factory=lambda: dict.fromkeys(Refusal, 0))
    offered: int = 0  # accepted messages × pipes they were put to
    unrouted: int = 0  # accepted messages that no pipe took
    frames: FramingCounts = field(default_factory=FramingCounts)
    truncated: int = 0
    truncated_octets: int = 0
    invalid_headers: int = 0
    kernel_dropped: int = 0
    missed: int = 0  # removed from a source before they were read
    credentials_mended: int = 0  # process ids that were not their sender's
    repeats_possible: int = 0  # read again after an unclean end, perhaps put before it already
    connections_open: int = 0
    connections_waiting: int = 0  # of the open ones: not read now, their senders' rates are spent
    connections_paced: int = 0  # times one had to wait for that
    connections_accepted: int = 0
    connections_refused: dict[ConnectionRefusal, int] = field(
        default_factory=lambda: dict.fromkeys(ConnectionRefusal, 0)
    )
    connections_failed: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(CONNECTION_FAILURES, 0)
    )
    accept_deferred: int = 0  # times that whoever connects had to wait in the kernel
    files: FileCounts | None = None  # of one that follows files
    restarts: int = 0
    bound: bool = False
    skews: Skews = field(default_factory=Skews)
    senders: Senders = field(default_factory=Senders)
    probes: list[Callable[[], None]] = field(default_factory=list)  # see `refresh`

    def refresh(self) -> None:
        """Bring `kernel_dropped` up to date, which only the sockets know."""
        for probe in self.probes:
            probe()

    def residual(self) -> int:
        return self.received - self.accepted - sum(self.refused.values())
