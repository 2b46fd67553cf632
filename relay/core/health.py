"""How one destination of a pipe is: what its deliveries see, and what people are shown."""

from dataclasses import dataclass, field

from relay.system.ports import TlsReason


@dataclass(slots=True, eq=False, repr=False)
class Health:
    """Counters never fall; the rest is of this moment."""

    destination: str
    address: str = ""  # of one of several addresses of a destination
    configured: bool = True
    active: bool = True  # the pipe's messages go there; of several perhaps to another one
    up: bool = False
    stalled: bool = False
    down_reason: str = ""  # of the last time; nothing once it is reached again
    connections: int = 0  # times it was reached
    failures: int = 0  # times it was found down
    delivered: int = 0  # of several destinations: messages that this one has taken
    tls_failures: dict[TlsReason, int] = field(default_factory=lambda: dict.fromkeys(TlsReason, 0))
