"""What a stream listener allows its senders."""

from typing import NamedTuple

from relay.core.networks import IPV6_PREFIX, Senders
from relay.core.rate import Buckets
from relay.listeners.deadlines import Deadlines
from relay.system.ports import TlsSettings


class Limits(NamedTuple):
    """Octets, connections and seconds; each bounds what one sender can take from the others."""

    buffer_max: int
    connections_max: int
    deadlines: Deadlines = Deadlines()
    per_address_max: int | None = None  # connections open at a time; None: no limit
    ipv6_prefix: int = IPV6_PREFIX  # networks of this size are one address to it and to `accepts`
    allowed: Senders | None = None  # whose connections are taken; None: everyone's
    buckets: Buckets | None = None  # what each sender may send; None: no limit
    accepts: Buckets | None = None  # how often each sender may connect; None: no limit
    tls: TlsSettings | None = None  # how senders must speak TLS; None: in the clear
