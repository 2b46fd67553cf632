"""Small parts that the tests of the core are built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import trio

from relay.core.account import Held, ListenerAccount, PipeAccount
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.memory import Memory
from relay.core.outlet import Outlet, Reopening
from relay.core.receipt import Receipt
from relay.core.ring import Rings
from relay.system.disk import SystemDisk
from relay.system.local import SystemLocal
from relay.system.log_files import SystemLogFiles
from relay.system.net import SystemNetwork
from relay.system.ports import Host
from relay.system.tls import SystemTls

WIDE = Bounds(messages=1 << 20, memory=1 << 30)
RECEIVED_NS = 1_795_419_925_000_000_000  # 2026-11-23T07:45:25Z


@dataclass(frozen=True, slots=True)
class StillClock:
    def now(self) -> float:
        return 0.0

    def wall_ns(self) -> int:
        return RECEIVED_NS


def make_host() -> Host:
    limiter = trio.CapacityLimiter(1)
    return Host(
        "relay.example.net",
        StillClock(),
        SystemNetwork(limiter),
        SystemDisk(limiter),
        SystemLocal(limiter),
        SystemLogFiles(limiter),
        SystemTls(limiter),
    )


def make_batch(
    *messages: bytes,
    listener: str = "net",
    sender: str = "192.0.2.1",
    notice: bool = False,
    received_ns: int = RECEIVED_NS,
    receipt: Receipt | None = None,
) -> Batch:
    return Batch(
        messages,
        [sender] * len(messages),
        listener,
        received_ns,
        sum(map(len, messages)),
        zone="UTC",
        notice=notice,
        receipt=receipt,
    )


def make_receipt() -> Receipt:
    """One that nobody listens to."""
    return Receipt(lambda: None, lambda: None)


def numbered(start: int, stop: int, octets: int = 0, *, notice: bool = False) -> Batch:
    """A batch of the messages `start` to `stop - 1`, each at least so long."""
    return make_batch(*(b"%d" % n + b"." * (octets - len(b"%d" % n)) for n in range(start, stop)),
                      notice=notice)  # fmt: skip


def number(message: bytes) -> int:
    return int(message.rstrip(b"."))


def numbers(batches: Sequence[Batch]) -> list[int]:
    return [number(message) for batch in batches for message in batch.messages]


def make_channel(bounds: Bounds = WIDE, memory: Memory | None = None) -> Channel:
    return Channel(PipeAccount("pipe", destination="sink"), bounds, memory or Memory(1 << 31))


def make_outlet(channel: Channel) -> Outlet:
    return Outlet("pipe", "sink", make_host(), channel.account, Rings(), Reopening())


def lent(channel: Channel) -> list[int]:
    """The numbers of the messages that a delivery has in hand."""
    held = [entry.batch for entry in channel._queue.held()]
    return numbers(held)[: channel.held().lent]


def contents(channel: Channel) -> list[int]:
    """The numbers of all messages held, oldest first."""
    return numbers([entry.batch for entry in channel._queue.held()])


def waiting(channel: Channel) -> list[Batch]:
    """The batches that wait in memory, oldest first."""
    return [entry.batch for entry in channel._queue.waiting]


def recount(channel: Channel) -> Held:
    """The same as `held`, counted from the queues."""
    held = channel.held()
    queue = channel._queue
    entries = [entry.batch for entry in queue.held()]
    everything = [entry for entry in (*queue.lent, *queue.waiting) if not entry.echo]
    assert queue.notices == sum(entry.batch.notice for entry in everything)
    return held._replace(
        memory=sum(map(len, entries)) - held.lent,
        octets=sum(batch.octets for batch in entries),
    )


def check(channel: Channel) -> None:
    """The invariants of a channel and its account."""
    account = channel.account
    assert account.residual() == 0
    assert channel.held() == recount(channel)
    check_memory(channel._memory)


def check_memory(memory: Memory) -> None:
    borrowed = sum(max(0, used - memory.guarantee) for used in memory.used.values())
    assert memory.borrowed == borrowed
    for member, used in memory.used.items():
        lent_out = borrowed >= memory.octets_max // 2
        assert memory.exhausted(member) == (used >= memory.guarantee and lent_out)


def check_listener(account: ListenerAccount) -> None:
    assert account.residual() == 0
    assert account.received == account.accepted + sum(account.refused.values())


class CancelAt(trio.abc.Instrument):
    """Cancels a task at one of its awaits, counted from 1, while `with` is inside.

    `late`: the await has ended, and the cancellation comes before the task goes on. It meets the
    next await then.
    """

    def __init__(self, step: int, scope: trio.CancelScope, *, late: bool = False) -> None:
        self.steps = 0
        self._step = step
        self._scope = scope
        self._late = late
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self.steps += 1
            if self.steps == self._step and not self._late:
                self._scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task and self.steps == self._step and self._late:
            self._scope.cancel()

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)
