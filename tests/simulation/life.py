"""One life of the relay's process on the simulated host: from its start to a stop or a kill."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import trio

from relay.core.account import Drop, PipeAccount
from relay.core.channel import Channel
from relay.core.memory import cost
from relay.supervisor.serve import serve
from relay.supervisor.state import Relay
from tests.simulation.configuration import Plan
from tests.simulation.machine import SimulatedMachine


@dataclass(frozen=True, slots=True)
class Book:
    """A pipe's account as it was at one moment."""

    received: int
    recovered: int
    filtered: int
    delivered: dict[str, int]
    dropped: dict[Drop, int]
    notices_dropped: int
    dead_letters: int
    retried: int
    replayed: int
    in_doubt: int
    renumbered: int
    epochs: int
    failovers: int
    held: int
    lent: int
    at_risk: int
    owed: int  # of those held: their senders wait for an answer
    restarts: int

    def __str__(self) -> str:
        """What is not 0."""
        numbers = {it.name: getattr(self, it.name) for it in fields(self)}
        for name in ("delivered", "dropped"):
            numbers[name] = {str(key): n for key, n in numbers[name].items() if n}
        return ", ".join(f"{name} {number}" for name, number in numbers.items() if number)

    @classmethod
    def of(cls, account: PipeAccount) -> "Book":
        held, channel = account.held(), account.holder
        owed = channel.debts.above(channel.head) if isinstance(channel, Channel) else 0
        return cls(
            account.received,
            account.recovered,
            account.filtered,
            {str(level): number for level, number in account.delivered.items()},
            dict(account.dropped),
            account.notices_dropped,
            account.dead_letters,
            account.retried,
            account.replayed,
            account.in_doubt,
            account.renumbered,
            account.epochs,
            account.failovers,
            held.messages,
            held.lent,
            held.at_risk,
            owed,
            account.restarts,
        )


class Log(logging.Handler):
    """Collects what is logged, and tracebacks, which nobody expects."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.note = note
        self.lines: list[str] = []
        self.tracebacks: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.note(f"log: {record.getMessage()}")
        if record.exc_info:
            self.tracebacks.append(record)


@dataclass(slots=True, eq=False)
class Life:
    """A process. Invariant: `books` are those at its end, by pipe, whatever ended it."""

    plan: Plan
    machine: SimulatedMachine
    note: Callable[[str], None]  # into the trace
    log: Log = field(init=False)
    relay: Relay = field(init=False)
    signals: trio.MemorySendChannel[int] = field(init=False)
    books: dict[str, Book] = field(default_factory=dict)
    rings: dict[str, tuple[list[bytes], int]] = field(default_factory=dict)
    kernel_dropped: Counter[str] = field(default_factory=Counter)
    began: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    stopping: bool = False
    hurried: bool = False
    killed: bool = False
    power_cut: bool = False
    closed: bool = False  # nobody obeys signals any more
    _process: trio.CancelScope = field(default_factory=trio.CancelScope)

    def __post_init__(self) -> None:
        self.log = Log(self.note)
        logging.getLogger("relay").addHandler(self.log)
        self.relay = Relay(self.plan.config(), self.machine)

    async def run(self, on_end: Callable[["Life"], None]) -> None:
        """Run as `relay run` does, until it has ended by itself or was killed."""
        for listener in self.relay.config.listeners.values():
            self.relay.bindings.bind(listener.endpoints())
        self.signals, signals = trio.open_memory_channel[int](10)
        try:
            with self._process, signals:
                await serve(self.relay, signals, task_status=_Began(self.began))
        except Exception:
            if not self.killed:
                raise
        finally:
            logging.getLogger("relay").removeHandler(self.log)
            self.closed = True
            self.signals.close()
        if not self.killed:
            self._close_books()
            on_end(self)
            self.machine.kill()  # whatever it has left open
        self.ended.set()

    def signal(self, number: int) -> None:
        if self.began.is_set() and not (self.killed or self.closed):
            self.hurried = self.hurried or (self.stopping and number == 15)
            self.stopping = self.stopping or number == 15
            self.signals.send_nowait(number)

    def kill(self, on_end: Callable[["Life"], None]) -> None:
        """`kill -9` at this very moment."""
        if self.killed or self.ended.is_set():
            return
        self.killed = True
        self._close_books()
        self.machine.kill()
        on_end(self)
        self._process.cancel()

    def holds(self) -> bool:
        return any(pipe.held().messages for pipe in self.relay.ledger.pipes.values())

    def waits_for_disks(self) -> bool:
        """Whether there may be messages on a disk that this process has not come to."""
        found = [pipe.channel.backlog for pipe in self.relay.pipes.values()]
        return any(it is not None and not it.ready for it in found)

    def check(self) -> None:
        """The identities, which hold after every step."""
        if self.killed:
            return
        ledger = self.relay.ledger
        assert ledger.residual() == 0, f"offered is not received: {ledger.residual()}"
        for pipe in ledger.pipes.values():
            assert pipe.residual() == 0, f"{pipe.residual()} of {pipe.name} in nobody's book"
        for delivering in self.relay.pipes.values():
            _check_memory(delivering.channel)
        for listener in ledger.listeners.values():
            assert listener.residual() == 0, f"{listener.residual()} of {listener.name}"

    def _close_books(self) -> None:
        self.books = {name: Book.of(it) for name, it in self.relay.ledger.pipes.items()}
        for name, book in self.books.items():
            self.note(f"book of {name}: {book}")
        for name, ring in self.relay.rings.rings.items():
            self.rings[name] = (list(ring.lines), ring.overwritten)
        if not self.killed:
            self.relay.refresh()
        for name, account in self.relay.ledger.listeners.items():
            self.kernel_dropped[name] = account.kernel_dropped


def _check_memory(channel: Channel) -> None:
    """Each message weighs once, wherever it is in memory."""
    queue, backlog = channel._queue, channel.backlog
    used = cost(queue.messages, queue.octets)
    for entry in backlog.unwritten if backlog is not None else ():
        if backlog is not None and backlog.only_here(entry):
            used += cost(len(entry.batch), entry.batch.octets)
    weighed = channel._memory.used[channel]
    assert weighed == used, f"{channel.account.name}: {weighed} octets weighed, {used} are there"


@dataclass(frozen=True, slots=True)
class _Began:
    began: trio.Event

    def started(self, value: None = None) -> None:
        self.began.set()
