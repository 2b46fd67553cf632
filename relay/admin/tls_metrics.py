"""The metrics of TLS."""

from collections.abc import Iterator, Sequence

from relay.admin.metric import Metric, Sample
from relay.admin.state import Admin
from relay.core.tls import DestinationTls


def _tables(admin: Admin) -> Iterator[tuple[str, DestinationTls]]:
    """The destinations that speak TLS."""
    for name, keys in admin.relay.config.destinations.items():
        table = getattr(keys, "tls", None)
        if isinstance(table, DestinationTls):
            yield name, table


def _failures(admin: Admin) -> Iterator[Sample]:
    secure = {name for name, _ in _tables(admin)}
    for account in admin.relay.ledger.pipes.values():
        for name, health in account.healths.items():
            if name in secure or any(health.tls_failures.values()):
                for reason, number in health.tls_failures.items():
                    yield (account.name, name, reason), number


def _unverified(admin: Admin) -> Iterator[Sample]:
    for name, table in _tables(admin):
        yield (name,), not table.verify


TLS_METRICS: Sequence[Metric] = (
    Metric("relay_tls_failures_total", "counter",
           "Times a connection to a destination failed as TLS, by reason.",
           ("pipe", "destination", "reason"), _failures),
    Metric("relay_tls_unverified", "gauge",
           "1 while anybody may be the destination (verify = false).", ("destination",),
           _unverified),
    Metric("relay_tls_certificate_not_after_timestamp_seconds", "gauge",
           "When a certificate in a file of a table tls expires, in seconds since the epoch.",
           ("file", "subject"), lambda admin: admin.relay.certificates.not_after().items()),
)  # fmt: skip
