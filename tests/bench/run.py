"""One run: a load through a program, or past it, with all that is measured."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from tests.bench.child import Child
from tests.bench.cost import cpu_seconds, memory_peak, waiting_seconds
from tests.bench.load import Load, Transport
from tests.bench.messages import counted_octets, line_octets
from tests.bench.program import Program, Running, running
from tests.bench.reloads import reloading
from tests.bench.secure import certificates
from tests.bench.sink import Expected
from tests.bench.trail import latencies_ms

Beside = AbstractContextManager[None]

START_SECONDS_MAX = 20.0
CONNECT_SECONDS_MAX = 60.0  # thousands of connections
RUN_SECONDS_MAX = 120.0
SLOWEST_RATE = 20_000  # of a load that takes longer than that


def seconds_max(load: Load) -> float:
    """How long a load may take."""
    return max(RUN_SECONDS_MAX, load.messages / SLOWEST_RATE)


@dataclass(frozen=True, slots=True)
class Run:
    sent: int  # messages
    received: int  # messages at the sink
    sending_seconds: float
    seconds: float  # from the first octet sent to the last one at the sink
    cpu_seconds: float = 0.0  # of the program, all threads
    waiting_seconds: float = 0.0  # its threads, ready and without a processor
    memory_peak: int = 0  # octets
    generator_cpu_seconds: float = 0.0
    sink_cpu_seconds: float = 0.0
    latencies_ms: Sequence[float] = ()  # of a load that is timed

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def offered(self) -> float:
        """Messages a second that the generator sent."""
        return self.sent / self.sending_seconds

    @property
    def rate(self) -> float:
        """Messages a second at the sink."""
        return self.received / self.seconds if self.received else 0.0

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for each message that arrived."""
        return self.cpu_seconds / self.received * 1e6 if self.received else float("inf")


def measure(
    program: Program | None, load: Load, *, beside: Callable[[int], Beside] | None = None
) -> Run:
    """Send the load through the program to the sink; without a program, straight to it.

    `beside` is told the program's process, and what it gives is entered for as long as it works.

    Raises:
        Silent: some part of the run failed, or the program refused a reload.
    """
    one = _counted_for_one(load, program)
    expected = Expected(
        _arriving_over(load, program),
        one * load.messages,
        lines=program is not None and program.ends == "lines",
        timed=load.timed,
    )
    with ExitStack() as stack:
        directory = ""
        if load.transport == "tls":
            directory = str(stack.enter_context(certificates()))
        sink = Child("sink", json.dumps(dataclasses.asdict(expected)), directory)
        port = stack.enter_context(sink).hear(START_SECONDS_MAX)["port"]
        it: Running | None = None
        if program:
            it = stack.enter_context(running(program, port, certificates=directory))
            port = it.ports[load.port]
            if program.ends in ("file", "ledger"):
                where = (str(it.directory / "out"), str(it.ports["admin"]))
                sink = Child("watcher", program.ends, *where, str(expected.octets))
                stack.enter_context(sink).hear(START_SECONDS_MAX)
        what = json.dumps(dataclasses.asdict(load))
        generator = stack.enter_context(Child("generator", what, str(port), directory))
        generator.hear(CONNECT_SECONDS_MAX)
        pid = it.pid if it else None
        pids = (pid, generator.pid, sink.pid)
        before = [cpu_seconds(each) if each else 0.0 for each in pids]
        waited = waiting_seconds(pid) if pid else 0.0
        if program and it and program.hup_seconds:
            stack.enter_context(reloading(program, it, program.hup_seconds))
        if beside and pid:
            stack.enter_context(beside(pid))
        generator.say()
        sending = generator.hear(seconds_max(load))
        sink.say()
        arrived = sink.hear(seconds_max(load))
        after = [cpu_seconds(each) if each else 0.0 for each in pids]
        costs = [then - now for then, now in zip(after, before, strict=True)]
        return Run(
            sent=load.messages,
            received=arrived["octets"] // one,
            sending_seconds=sending["ended"] - sending["started"],
            seconds=arrived["last"] - sending["started"],
            cpu_seconds=costs[0],
            waiting_seconds=waiting_seconds(pid) - waited if pid else 0.0,
            memory_peak=memory_peak(pid) if pid else 0,
            generator_cpu_seconds=costs[1],
            sink_cpu_seconds=costs[2],
            latencies_ms=latencies_ms(sending["trail"], arrived["trail"], one),
        )


def _counted_for_one(load: Load, program: Program | None) -> int:
    """What the sink counts for a message."""
    if program and program.ends in ("lines", "ledger"):
        return program.copies
    if load.transport == "relp" or (load.transport == "udp" and not program):
        return load.octets
    if not program or program.ends == "file":
        return line_octets(1, load.octets)
    return program.copies * counted_octets(1, load.octets)  # all programs count octets


def _arriving_over(load: Load, program: Program | None) -> Transport:
    return "tcp" if program and load.transport == "udp" else load.transport
