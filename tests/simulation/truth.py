"""What really happened on the way in: said by the senders, taken from the kernel, put to pipes."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from relay.core.batch import Batch
from relay.core.router import Router


@dataclass(slots=True, eq=False)
class Truth:
    """Messages by what has become of them, kept beside the relay's own books."""

    sent: dict[bytes, str] = field(default_factory=dict)  # and by which listener
    hosts: dict[bytes, str] = field(default_factory=dict)  # who sent it, as the relay sees that
    taken: defaultdict[str, Counter[bytes]] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # out of the kernel, by listener
    put: defaultdict[str, Counter[bytes]] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # to the router, by listener
    offered: defaultdict[str, Counter[bytes]] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # to each pipe
    answered: Counter[bytes] = field(default_factory=Counter)  # a RELP sender was told yes
    kernel_drops: Counter[str] = field(default_factory=Counter)  # by listener

    def say(self, listener: str, host: str, message: bytes) -> None:
        assert message not in self.sent, "messages are unique"
        self.sent[message] = listener
        self.hosts[message] = "" if listener in ("unix", "stream") else host

    def take(self, listener: str, message: bytes) -> None:
        self.taken[listener][message] += 1

    def route(self, router: Router, batch: Batch) -> None:
        """The relay is about to give a batch to its pipes."""
        self.put[batch.listener].update(batch.messages)
        for pipe in router.routes.get(batch.listener, ()):
            self.offered[pipe.name].update(batch.messages)
