"""The running relay: what lives, by name. Functions beside it start, change and end these."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import trio

from relay import __version__
from relay.config import Config
from relay.config.model import EVERY
from relay.core.certificates import Certificates
from relay.core.channel import Channel
from relay.core.ledger import Ledger
from relay.core.memory import Memory
from relay.core.outlet import Reopening
from relay.core.own import OwnMessages
from relay.core.pipe import Pipe
from relay.core.position import Positions
from relay.core.ring import Rings
from relay.core.router import Router
from relay.core.rules import Rules
from relay.spool.page import EPOCH_OCTETS, CrashPage
from relay.supervisor.bindings import Bindings
from relay.supervisor.delivering import Delivering
from relay.supervisor.listening import Listening
from relay.supervisor.machine import Machine
from relay.wire.hop import Hop

if TYPE_CHECKING:
    from relay.supervisor.spools import Spooled

Phase = Literal["starting", "running", "draining", "stopped"]


@dataclass(slots=True, eq=False, repr=False)
class Relay:
    """Everything that a reload changes and the admin server shows.

    Invariant: `router.routes` names only pipes in `pipes` or `retiring`.
    """

    config: Config
    machine: Machine
    ledger: Ledger = field(default_factory=Ledger)
    own: OwnMessages = field(default_factory=OwnMessages)
    bound: Bindings | None = None  # before Trio ran; default: nothing was
    rings: Rings = field(default_factory=Rings)
    reopening: Reopening = field(default_factory=Reopening)
    phase: Phase = "starting"
    reloaded: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    reloads: int = 0
    reloads_failed: int = 0
    listeners: dict[str, Listening] = field(default_factory=dict)
    pipes: dict[str, Delivering] = field(default_factory=dict)
    retiring: dict[str, Delivering] = field(default_factory=dict)  # removed, not empty yet
    # Of spools without a pipe, left by a reload or by an earlier process; they may be empty. If the
    # pipe comes back, its channel knows how far it was.
    orphans: dict[str, Channel] = field(default_factory=dict)
    spools: dict[str, "Spooled"] = field(default_factory=dict)
    rules: dict[str, Rules | None] = field(default_factory=dict)  # by pipe
    certificates: Certificates = field(default_factory=Certificates)
    positions: dict[str, Positions] = field(default_factory=dict)  # by type and name
    leaving: set[Listening] = field(default_factory=set)  # read what removed sockets hold
    memory: Memory = field(init=False)
    router: Router = field(init=False)
    bindings: Bindings = field(init=False)
    page: CrashPage | None = field(init=False)
    epoch: bytes = field(default_factory=lambda: os.urandom(EPOCH_OCTETS))  # of our numbers

    def __post_init__(self) -> None:
        self.memory = Memory(self.config.relay.memory_max)
        self.router = Router(self.ledger)
        self.bindings = Bindings(self.machine) if self.bound is None else self.bound
        file = self.machine.page
        self.page = CrashPage(file, self.machine.boot_id) if file else None
        if self.page is not None:
            self.epoch = self.page.renew(self.epoch)

    @property
    def ready(self) -> bool:
        """Every listener is bound, and the relay is not about to stop."""
        bound = all(it.intake.account.bound for it in self.listeners.values())
        return self.phase == "running" and bound

    def now(self) -> float:
        return trio.current_time()

    def hop(self, pipe: str) -> Hop:
        """What this pipe writes into messages that say which way they came."""
        account = self.ledger.pipes[pipe]
        return Hop(
            self.config.relay.name, pipe, self.epoch.hex(), __version__, lambda: account.renumbered
        )

    def positions_of(self, kind: str, listener: str) -> Positions:
        """How far a listener of this type and name has read, before a reload included."""
        name = f"{kind}-{listener}"
        return self.positions.setdefault(name, Positions(name, self.machine.positions))

    async def keep_positions(self, *, ended: bool = False) -> None:
        """Keep what a new process must know of sources that are read again."""
        for positions in list(self.positions.values()):
            await positions.save(ended=ended)

    def refresh(self) -> None:
        """Bring what only the kernel knows up to date, before the books are read."""
        for account in self.ledger.listeners.values():
            account.refresh()


def sources(config: Config, pipe: str) -> Sequence[str]:
    """The listeners that feed a pipe: those named, or all of them for "*"."""
    named = config.pipes[pipe].from_
    return list(config.listeners) if EVERY in named else list(named)


def routes(config: Config, pipes: Mapping[str, Pipe]) -> dict[str, Sequence[Pipe]]:
    """For each listener the pipes it feeds."""
    return {
        listener: [pipes[name] for name in pipes if listener in sources(config, name)]
        for listener in config.listeners
    }
