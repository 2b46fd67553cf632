"""The metrics of listeners that follow files."""

from collections.abc import Callable, Iterator, Sequence

from relay.admin.metric import Kind, Metric, Sample
from relay.admin.state import Admin
from relay.core.files import FileCounts


def _by_listener(
    name: str, kind: Kind, help_: str, number: Callable[[FileCounts], float]
) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for account in admin.relay.ledger.listeners.values():
            if account.files is not None:
                yield (account.name,), number(account.files)

    return Metric(f"relay_listener_files_{name}", kind, help_, ("listener",), read)


def _failures(admin: Admin) -> Iterator[Sample]:
    for account in admin.relay.ledger.listeners.values():
        if account.files is not None:
            for reason, number in account.files.failures.items():
                yield (account.name, reason), number


FILE_METRICS: Sequence[Metric] = (
    _by_listener("followed", "gauge", "Files followed.", lambda it: it.followed),
    _by_listener("open", "gauge", "Files open.", lambda it: it.open),
    _by_listener("lag_bytes", "gauge",
                 "Bytes in these files that are not read yet.", lambda it: it.lag_octets),
    _by_listener("rotations_total", "counter",
                 "Files that lost their name while they were followed.", lambda it: it.rotations),
    _by_listener("truncations_total", "counter",
                 "Files truncated while they were followed.", lambda it: it.truncations),
    _by_listener("unfinished_total", "counter",
                 "Messages made of a last line that never got an end.",
                 lambda it: it.unfinished),
    _by_listener("lost_total", "counter",
                 "Files that were gone or truncated before they were read to their end.",
                 lambda it: it.lost),
    _by_listener("lost_bytes_total", "counter",
                 "Bytes of these files that were not read, as far as they are known.",
                 lambda it: it.lost_octets),
    Metric("relay_listener_files_failures_total", "counter",
           "Times a file could not be followed, by reason.", ("listener", "reason"), _failures),
)  # fmt: skip
