"""The clock, and all ports together as a component gets them."""

from typing import NamedTuple, Protocol

from relay.system.ports.disk import Disk
from relay.system.ports.local import Local
from relay.system.ports.log_files import LogFiles
from relay.system.ports.network import Network
from relay.system.ports.tls import Tls


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds, for durations (`trio.current_time`)."""

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch, for stamps."""


class Host(NamedTuple):
    """All ports together, as a listener or a pipe gets them."""

    name: str  # our host name, `relay.name` of the configuration
    clock: Clock
    network: Network
    disk: Disk
    local: Local
    log_files: LogFiles
    tls: Tls
