"""What a piece of work costs a process, counted by the best that a machine has.

Instructions do not depend on who else uses the machine, so that a few thousand messages suffice.
Time does, on a virtual machine most of all: it takes many messages, and several pairs.
"""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from tests.bench.child import Silent
from tests.bench.cost import cpu_seconds
from tests.bench.program import Running

# What a dictionary of strings costs depends on their hashes, which are drawn at each start.
_SAME_HASHES = ("env", "PYTHONHASHSEED=0")
_ANSWER_SECONDS_MAX = 60.0


@dataclass(slots=True)
class Count:
    value: float = 0.0  # known at the end of the `with` block


class Counter(Protocol):
    """A way of counting."""

    @property
    def about(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def factor(self) -> int:
        """So many times the smallest load are enough to tell."""

    @property
    def pairs(self) -> int:
        """So often both sides have to be run."""

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """How to start a program of which it is to count."""

    def counting(self, it: Running) -> AbstractContextManager[Count]:
        """What the program costs in this block, all threads.

        Raises:
            Silent: it could not be counted.
        """


@dataclass(frozen=True, slots=True)
class Perf:
    """The processor's own counter, read by perf(1): nothing runs slower for it."""

    event: str = "instructions:u"
    about: str = "counted by the processor (perf stat)"
    unit: str = "instructions"
    factor: int = 5
    pairs: int = 3

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return (*_SAME_HASHES, *command)

    @contextmanager
    def counting(self, it: Running) -> Iterator[Count]:
        """By perf-stat(1), `--control`: counters are enabled and disabled on request."""
        count = Count()
        ours, its = socket.socketpair()
        with ours, its:
            command = ["perf", "stat", "-x,", "-e", self.event, "-p", str(it.pid), "-D", "-1",
                       "--control", f"fd:{its.fileno()},{its.fileno()}"]  # fmt: skip
            with subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True, pass_fds=[its.fileno()]
            ) as perf:
                its.close()  # so that its end is seen
                try:
                    _order(ours, b"enable\n")
                    yield count
                    _order(ours, b"disable\n")
                finally:
                    perf.send_signal(signal.SIGINT)
                    _, said = perf.communicate(timeout=_ANSWER_SECONDS_MAX)
        count.value = counted_by_perf(said)


def _order(perf: socket.socket, order: bytes) -> None:
    perf.settimeout(_ANSWER_SECONDS_MAX)
    try:
        perf.sendall(order)
        answer = perf.recv(64)
    except OSError as fault:
        raise Silent(f"perf takes no order: {fault}") from fault
    if not answer.startswith(b"ack"):
        raise Silent("perf ended early")


def counted_by_perf(said: str) -> float:
    """From the output of `perf stat -x,` for one event.

    Raises:
        Silent: the machine does not count it.
    """
    for line in said.splitlines():
        value = line.split(",")[0]
        if value == "<not counted>":  # as the program did not run
            return 0
        with suppress(ValueError):
            return float(value)
    raise Silent(f"perf counts nothing: {said.strip()}")


@dataclass(frozen=True, slots=True)
class Callgrind:
    """Valgrind's simulated processor, where the machine's cannot be asked.

    A relay runs some fifty times as slow, but only while it is counted: it starts without.
    """

    about: str = "counted by valgrind (callgrind)"
    unit: str = "instructions"
    factor: int = 1
    pairs: int = 1

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return (
            *_SAME_HASHES, "valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=try",
            "--vgdb-prefix=@directory@/vgdb", "--callgrind-out-file=@directory@/callgrind",
            *command,
        )  # fmt: skip

    @contextmanager
    def counting(self, it: Running) -> Iterator[Count]:
        count = Count()
        _vgdb(it, "instrumentation", "on")
        _vgdb(it, "zero")
        yield count
        _vgdb(it, "dump")
        dumps = it.directory.glob("callgrind.*")
        latest = max(dumps, key=lambda path: int(path.suffix[1:]))
        count.value = counted_by_callgrind(latest.read_text())


def _vgdb(it: Running, *order: str) -> None:
    prefix = f"--vgdb-prefix={it.directory / 'vgdb'}"
    done = subprocess.run(
        ["vgdb", prefix, f"--pid={it.pid}", *order],
        capture_output=True, text=True, timeout=_ANSWER_SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Silent(f"valgrind does not take an order: {done.stderr.strip()}")


def counted_by_callgrind(dump: str) -> float:
    """From a dump in the format of callgrind, whose only event is instructions.

    Raises:
        Silent: it holds none.
    """
    for line in dump.splitlines():
        if line.startswith("summary:"):
            return float(line.split()[1])
    raise Silent("callgrind wrote no sum")


@dataclass(frozen=True, slots=True)
class Processor:
    """Time of the processor: what every machine has, and others on it disturb."""

    about: str = "CPU time, as nothing here counts instructions"
    unit: str = "µs of CPU"
    factor: int = 10
    pairs: int = 5

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return (*_SAME_HASHES, *command)

    @contextmanager
    def counting(self, it: Running) -> Iterator[Count]:
        count, before = Count(), cpu_seconds(it.pid)
        yield count
        count.value = (cpu_seconds(it.pid) - before) * 1e6


COUNTERS: Mapping[str, Counter] = {"perf": Perf(), "valgrind": Callgrind(), "cpu": Processor()}


def best() -> Counter:
    """The first that this machine has."""
    if shutil.which("perf") and perf_counts(Perf().event):
        return COUNTERS["perf"]
    if shutil.which("valgrind") and shutil.which("vgdb"):
        return COUNTERS["valgrind"]
    return COUNTERS["cpu"]


def perf_counts(event: str) -> bool:
    """Virtual machines often have no counters of a processor."""
    command = ["perf", "stat", "-x,", "-e", event, "true"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return counted_by_perf(said.stderr) > 0
    except Silent:
        return False
