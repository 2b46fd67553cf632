"""What a stream listener allows its senders."""

from dataclasses import dataclass

from relay.core.networks import Senders


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets, connections and seconds; each bounds what one sender can take from the others."""

    buffer_max: int
    connections_max: int
    idle_seconds_max: float
    allowed: Senders | None = None  # whose connections are taken; None: everyone's
