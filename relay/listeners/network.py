"""The keys of every listener on a network: who may send."""

from functools import cached_property

from relay.core.component import ListenerKeys
from relay.core.networks import Networks, Senders


class NetworkKeys(ListenerKeys):
    """The keys of every listener whose senders have addresses."""

    allow: Networks | None = None
    """Addresses and networks that may send; others are refused, and counted. Default: everyone."""

    @property
    def local(self) -> bool:
        return False

    @cached_property
    def allowed(self) -> Senders | None:
        """None: everyone."""
        return None if self.allow is None else Senders(self.allow)
