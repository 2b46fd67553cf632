"""The metrics of upstreams: other relays whose messages have hop records."""

from collections.abc import Callable, Iterator, Sequence

from relay.admin.metric import Metric, Sample
from relay.admin.state import Admin
from relay.core.upstreams import HopCounts


def _by_upstream(name: str, help_: str, number: Callable[[HopCounts], float]) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for upstream, counts in admin.relay.ledger.upstreams.counts.items():
            yield (upstream,), number(counts)

    return Metric(f"relay_hop_{name}_total", "counter", help_, ("upstream",), read)


UPSTREAMS: Sequence[Metric] = (
    _by_upstream("received", "Messages with a hop record, by the relay and pipe that sent them.",
                 lambda it: it.received),
    _by_upstream("gaps", "Gaps in the numbers of an upstream that were not filled in time.",
                 lambda it: it.gaps),
    _by_upstream("missing", "Messages that these gaps are wide.", lambda it: it.missing),
    _by_upstream("late", "Of the missing: messages that came all the same.", lambda it: it.late),
    _by_upstream("duplicates", "Messages received that were received before.",
                 lambda it: it.duplicates),
    _by_upstream("renumbered", "Times numbers began anew, so that nobody knows what was lost.",
                 lambda it: it.renumbered),
)  # fmt: skip
