"""The keys of every listener that accepts connections."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from relay.core.component import ListenerKeys
from relay.core.networks import IPV6_PREFIX
from relay.core.rate import Buckets, Burst, Limit, Rate
from relay.core.tls import ListenerTls
from relay.core.values import Duration
from relay.listeners.deadlines import NEVER, Deadlines
from relay.listeners.limits import Limits
from relay.listeners.network import NetworkKeys

Connections = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]

SPARED = 10  # one in so many connections is never for the address that has all the others
BURST_SECONDS = 60  # senders behind one address come back together after a break


class ConnectionKeys(ListenerKeys):
    """The keys of every listener that accepts connections."""

    connections_max: Connections = 10_000
    """Connections open at a time; further ones are closed at once, and counted."""
    first_byte_max: Duration = 0.0
    """Close a connection that has said nothing for this long since it was made; 0: never."""
    unfinished_max: Duration = 0.0
    """Close a connection whose message takes longer than this from begin to end; 0: never."""
    idle_max: Duration = 0.0
    """Close a connection that was silent for this long; 0: never (keepalive finds the dead)."""

    def deadlines(self) -> Deadlines:
        return Deadlines(
            first_byte=self.first_byte_max or NEVER,
            unfinished=self.unfinished_max or NEVER,
            idle=self.idle_max or NEVER,
        )


class PeerKeys(ConnectionKeys, NetworkKeys):
    """The same, on a network: what each sender may have of the connections."""

    connections_per_address_max: Connections | None = None
    """Connections of one address open at a time; default: nine tenths of `connections_max`."""
    accept_rate: Rate | None = None
    """New connections of one address on average; further ones are closed at once, and counted."""
    accept_burst: Burst | None = None
    """New connections of one address at once; default: what `accept_rate` is in a minute."""
    ipv6_prefix: Annotated[int, Field(ge=32, le=128, strict=True)] = IPV6_PREFIX
    """IPv6 addresses that have these first bits in common are one address to these limits."""
    tls: ListenerTls | None = None
    """Speak TLS, and nothing else; absent: in the clear."""

    @field_validator("connections_per_address_max")
    @classmethod
    def _check_per_address(cls, per_address_max: int | None, info: ValidationInfo) -> int | None:
        connections_max = info.data.get("connections_max")  # absent when it is wrong itself
        if per_address_max and connections_max and per_address_max > connections_max:
            raise ValueError(
                f"{per_address_max} is more than connections_max, which is {connections_max}"
            )
        return per_address_max

    @field_validator("accept_burst")
    @classmethod
    def _check_accept_burst(cls, burst: int | None, info: ValidationInfo) -> int | None:
        if burst is not None and info.data.get("accept_rate", burst) is None:  # absent when wrong
            raise ValueError("means nothing without accept_rate")
        return burst

    def peer_limits(self, buffer_max: int) -> Limits:
        """For one run."""
        return Limits(
            buffer_max=buffer_max,
            connections_max=self.connections_max,
            deadlines=self.deadlines()._replace(
                handshake=self.tls.handshake_max if self.tls else NEVER
            ),
            per_address_max=self.connections_per_address_max
            or self.connections_max - self.connections_max // SPARED,
            ipv6_prefix=self.ipv6_prefix,
            allowed=self.allowed,
            buckets=self.buckets(),
            accepts=self._accepts(),
            tls=self.tls.settings() if self.tls else None,
        )

    def _accepts(self) -> Buckets | None:
        if self.accept_rate is None:
            return None
        burst = self.accept_burst or max(1, round(self.accept_rate * BURST_SECONDS))
        return Buckets(Limit(self.accept_rate, burst))
