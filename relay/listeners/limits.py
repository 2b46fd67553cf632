"""What a stream listener allows its senders."""

from dataclasses import dataclass

from relay.core.networks import Senders
from relay.core.rate import Buckets


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets, connections and seconds; each bounds what one sender can take from the others."""

    buffer_max: int
    connections_max: int
    idle_seconds_max: float
    allowed: Senders | None = None  # whose connections are taken; None: everyone's
    buckets: Buckets | None = None  # what each sender may send; None: no limit
