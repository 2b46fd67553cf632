"""This tree against another commit: what a message costs in each, in the same run.

Both are run as a user runs them, with the same configuration and the same load, so that no line of
the code is needed by both. A message of a row costs what the relay did from the first octet sent
to the last one at the sink, divided by the messages; what came before the count has warmed it up.
"""

import compileall
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.arrivals import Arrivals
from tests.bench.child import ROOT, Silent
from tests.bench.counting import Counter
from tests.bench.generator import connections, sender
from tests.bench.load import RELP_PIECE, Load
from tests.bench.pace import Send
from tests.bench.program import RELAY, RELAY_DURABLE, RELAY_RELP, RELAY_TLS, Program, running
from tests.bench.ratio import Spread
from tests.bench.row import Show
from tests.bench.secure import certificates

LOSS_MAX = 0.10
READY_SECONDS_MAX = 120.0  # under valgrind
ARRIVE_SECONDS_MAX = 120.0
WINDOWS = 3  # counts of one process; their median is what it says
MAIN = "main"
AUTO = "auto"  # the commit is chosen by `default_commit`


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the guard."""

    name: str
    load: Load  # the smallest that tells; its rate means nothing here
    program: Program = RELAY
    # Messages sent while the relay is stopped, so that it finds so many there at once, however fast
    # it runs; the next are sent when these have arrived. None: all in one go, as they are taken.
    together: int | None = None


CASES: Sequence[Case] = (
    Case("tcp-tcp", Load("tcp", 20_000)),
    Case("udp-tcp", Load("udp", 10_000, segmented=True), together=64),
    Case("tls-tls", Load("tls", 20_000), RELAY_TLS),
    Case("trickle", Load("tcp", 5_000, connections=900, rate=20_000), together=100),
    Case("latency-100", Load("tcp", 200), together=1),
    Case("durable", Load("tcp", 60_000), RELAY_DURABLE),
    Case("relp", Load("relp", RELP_PIECE * 160), RELAY_RELP),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A row that was compared."""

    name: str
    unit: str
    this: float  # of a message
    other: float
    ratio: Spread  # this by the other, pair by pair

    @property
    def failed(self) -> bool:
        return self.ratio.median > 1 + LOSS_MAX

    def line(self) -> str:
        return (
            f"  {self.name:<9} {self.this:>10,.1f} against {self.other:>10,.1f}"
            f" {self.unit} a message: {self.ratio.median:.3f}"
            f"  ({self.ratio.minimum:.3f} to {self.ratio.maximum:.3f})"
            f"{f'  ! more than {LOSS_MAX:.0%} is lost' if self.failed else ''}"
        )


def judge(name: str, unit: str, pairs: Sequence[tuple[float, float]]) -> Judged:
    """Pairs of what a message costs: in this tree, and in the other.

    Raises:
        Silent: one of them cost nothing, so that the load was too small.
    """
    if not all(this and other for this, other in pairs):
        raise Silent(f"the row {name} costs too little to be counted")
    ratios = [this / other for this, other in pairs]
    return Judged(
        name,
        unit,
        median(this for this, _ in pairs),
        median(other for _, other in pairs),
        Spread.of(ratios),
    )


def steps(cases: Sequence[Case], counter: Counter) -> int:
    """How often `guard` calls `show`."""
    return 2 * counter.pairs * len(cases)


def guard(cases: Sequence[Case], commit: str, counter: Counter, show: Show) -> Iterator[Judged]:
    """Compare this tree with the commit, row by row.

    Raises:
        Silent: there is no such commit, or one of the two does not run a row.
    """
    with trees(commit) as sides:
        for case in cases:
            found: Mapping[str, list[float]] = {name: [] for name in sides}
            for number in range(1, counter.pairs + 1):
                for name, tree in sides.items():
                    show(f"{case.name}, pair {number}: {name}")
                    try:
                        found[name].append(cost(case, tree, counter))
                    except Silent as silent:
                        raise Silent(
                            f"{name} does not run the row {case.name} as this tree configures it"
                            f" (others: --row): {silent}"
                        ) from silent
            this, other = found.values()
            yield judge(case.name, counter.unit, list(zip(this, other, strict=True)))


@contextmanager
def trees(commit: str) -> Iterator[Mapping[str, Path]]:
    """The package of this tree as it is now, and that of the commit: copies, gone at the end."""
    name = git("rev-parse", "--short", "--verify", f"{commit}^{{commit}}")
    with TemporaryDirectory(prefix="relay-guard-") as directory:
        this, other = Path(directory, "this"), Path(directory, "other")
        leave_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "relay", this / "relay", ignore=leave_out)
        archive = Path(directory, "other.tar")
        git("archive", "--format=tar", f"--output={archive}", name, "relay")
        other.mkdir()
        # By tar(1): Python's own has no filter in 3.11.2, which is Debian's, and warns without.
        subprocess.run(["tar", "-xf", archive, "-C", other], check=True)
        for tree in (this, other):
            compileall.compile_dir(tree, quiet=2)  # fifty times as slow if left to the first start
        yield {"this tree": this, name: other}


def default_commit(ask: Callable[..., str]) -> str:
    """Where this branch left `main`; on `main` itself what was committed before.

    That is the last commit as long as something is changed since, and else the one before it.
    """
    head = ask("rev-parse", "HEAD")
    try:
        base = ask("merge-base", MAIN, "HEAD")
    except Silent:  # there is no such branch
        base = head
    if base != head:
        return base
    return head if ask("status", "--porcelain", "--", "relay") else f"{head}~1"


def git(*arguments: str) -> str:
    """What it says.

    Raises:
        Silent: it fails.
    """
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Silent(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def cost(case: Case, tree: Path, counter: Counter) -> float:
    """Of one message of the row, in a relay of the tree.

    Raises:
        Silent: some part of the run failed.
    """
    program = replace(
        case.program,
        command=counter.command(case.program.command),
        tree=tree,
        ready_seconds_max=READY_SECONDS_MAX,
    )
    load, messages = case.load, case.load.messages * counter.factor
    with ExitStack() as stack:
        directory = stack.enter_context(certificates())
        over = "tcp" if load.transport == "udp" else load.transport
        sink = stack.enter_context(Arrivals(over, directory))
        it = stack.enter_context(running(program, sink.port, certificates=str(directory)))
        sockets = connections(load, it.ports[load.port], directory)
        for sock in sockets:
            stack.enter_context(sock)
        sending = _Sending(sender(load, sockets), sink, it.pid, case.together)
        sending.go(case.load.messages)  # nobody counts these
        counts = []
        for _ in range(WINDOWS):
            with counter.counting(it) as count:
                sending.go(messages)
            counts.append(count.value / messages)
        return median(counts)


@dataclass(slots=True)
class _Sending:
    send: Send
    sink: Arrivals
    pid: int
    together: int | None
    sent: int = 0

    def go(self, messages: int) -> None:
        """Send the next so many, and return when all are at the sink."""
        stop = self.sent + messages
        while self.sent < stop:
            upto = min(stop, self.sent + self.together) if self.together else stop
            if self.together:
                os.kill(self.pid, signal.SIGSTOP)
            try:
                self.send(self.sent, upto)
            finally:
                if self.together:
                    os.kill(self.pid, signal.SIGCONT)
            self.sent = upto
            self.sink.wait(upto, ARRIVE_SECONDS_MAX)
