"""The keys of every listener on a network: who may send, and how much."""

from functools import cached_property

from pydantic import field_validator

from relay.core.component import ListenerKeys
from relay.core.networks import Networks, Senders
from relay.core.rate import Buckets, Burst, Limit, Rate, check_burst


class NetworkKeys(ListenerKeys):
    """The keys of every listener whose senders have addresses."""

    allow: Networks | None = None
    """Addresses and networks that may send; others are refused, and counted. Default: everyone."""
    rate_limit: Rate | None = None
    """Messages of one sender on average; beyond, datagrams are refused and connections wait."""
    burst: Burst | None = None
    """Messages of one sender at once; default: what `rate_limit` is in a second."""

    _check_burst = field_validator("burst")(check_burst)

    @property
    def local(self) -> bool:
        return False

    @cached_property
    def allowed(self) -> Senders | None:
        """None: everyone."""
        return None if self.allow is None else Senders(self.allow)

    def buckets(self) -> Buckets | None:
        """What each sender may send, for one run; None: as much as it likes."""
        limit = Limit.of(self.rate_limit, self.burst)
        return Buckets(limit) if limit else None
