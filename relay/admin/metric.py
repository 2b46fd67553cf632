"""What a metric is, and how those of pipes, listeners and rings are read from the books."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from relay.admin.state import Admin
from relay.core.account import ListenerAccount, PipeAccount
from relay.core.health import Health
from relay.core.ring import Ring

Sample = tuple[tuple[str, ...], float]  # the labels' values, in the order of the labels
Numbers = Mapping[Any, float]  # by the value of a label
Kind = Literal["counter", "gauge"]


class Metric(NamedTuple):
    """One line of the table. `name` is what a query says, `_total` included."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Admin], Iterable[Sample]]


def one(name: str, kind: Kind, help_: str, number: Callable[[Admin], float]) -> Metric:
    return Metric(name, kind, help_, (), lambda admin: [((), number(admin))])


def by_pipe(name: str, kind: Kind, help_: str, number: Callable[[PipeAccount], float]) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for account in admin.relay.ledger.pipes.values():
            yield (account.name,), number(account)

    return Metric(f"relay_pipe_{name}", kind, help_, ("pipe",), read)


def by_pipe_and(
    name: str,
    kind: Kind,
    help_: str,
    label: str,
    numbers: Callable[[PipeAccount], Numbers],
) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for account in admin.relay.ledger.pipes.values():
            for value, number in numbers(account).items():
                yield (account.name, str(value)), number

    return Metric(f"relay_pipe_{name}", kind, help_, ("pipe", label), read)


def by_destination(
    name: str, kind: Kind, help_: str, number: Callable[[PipeAccount], float]
) -> Metric:
    """Of the destination of a pipe; gauges only while the pipe lives."""

    def read(admin: Admin) -> Iterator[Sample]:
        live = {**admin.relay.retiring, **admin.relay.pipes}
        for account in admin.relay.ledger.pipes.values():
            if kind == "counter" or account.name in live:
                yield (account.name,), number(account)

    return Metric(f"relay_destination_{name}", kind, help_, ("pipe",), read)


def by_each_destination(
    name: str, kind: Kind, help_: str, number: Callable[[Health], float]
) -> Metric:
    """Of pipes that have, or had, several destinations; gauges of those of now."""

    def read(admin: Admin) -> Iterator[Sample]:
        live = {**admin.relay.retiring, **admin.relay.pipes}
        for account in admin.relay.ledger.pipes.values():
            for health in account.healths.values() if account.shared else ():
                if kind == "counter" or (account.name in live and health.configured):
                    yield (account.name, health.destination), number(health)

    return Metric(f"relay_pipe_destination_{name}", kind, help_, ("pipe", "destination"), read)


def addresses() -> Metric:
    """Of pipes with `each_address`: which address has which name now."""

    def read(admin: Admin) -> Iterator[Sample]:
        live = {**admin.relay.retiring, **admin.relay.pipes}
        for account in admin.relay.ledger.pipes.values():
            for health in account.healths.values() if account.name in live else ():
                if health.configured and health.address:
                    yield (account.name, health.destination, health.address), 1

    help_ = "1 for each address of a destination: which one it is."
    labels = ("pipe", "destination", "address")
    return Metric("relay_pipe_destination_info", "gauge", help_, labels, read)


def by_listener(
    name: str, kind: Kind, help_: str, number: Callable[[ListenerAccount], float]
) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for account in admin.relay.ledger.listeners.values():
            yield (account.name,), number(account)

    return Metric(f"relay_listener_{name}", kind, help_, ("listener",), read)


def by_listener_and(
    name: str,
    help_: str,
    label: str,
    numbers: Callable[[ListenerAccount], Numbers],
) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for account in admin.relay.ledger.listeners.values():
            for value, number in numbers(account).items():
                yield (account.name, str(value)), number

    return Metric(f"relay_listener_{name}", "counter", help_, ("listener", label), read)


def by_ring(name: str, kind: Kind, help_: str, number: Callable[[Ring], float]) -> Metric:
    def read(admin: Admin) -> Iterator[Sample]:
        for destination, keys in admin.relay.config.destinations.items():
            if keys.type == "memory":
                ring = admin.relay.rings.rings.get(destination)
                yield (destination,), number(ring) if ring else 0

    return Metric(f"relay_ring_{name}", kind, help_, ("destination",), read)
