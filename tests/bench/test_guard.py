"""The guard of the hot path: it judges right, counts what was done, knows which commit is meant.

No figure of a run is asserted, but what is compared: the same work costs the same.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import __main__ as command
from tests.bench import counting, guard
from tests.bench.arrivals import Arrivals
from tests.bench.child import ROOT, Silent
from tests.bench.counting import (
    COUNTERS,
    Callgrind,
    Counter,
    Perf,
    Processor,
    counted_by_callgrind,
    counted_by_perf,
    perf_counts,
)
from tests.bench.guard import CASES, Case, Judged, default_commit, judge
from tests.bench.load import Load
from tests.bench.program import Running
from tests.bench.rows import GROUPS, NAMES

SMALL = Case("small", Load("tcp", 20_000))
FAST = Processor(factor=1, pairs=1)
# It does the same work each time that it is told to, and says when it is done.
WORK = "for line in iter(input, 'end'): sum(range(200_000)); print(flush=True)"
LISTED = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False
).returncode  # not so in a tree without its history


@pytest.mark.parametrize(
    ("pairs", "failed"),
    [
        ([(100, 100)], False),
        ([(110, 100)], False),
        ([(110.1, 100)], True),
        ([(50, 100)], False),
        ([(300, 100), (100, 100), (100, 100)], False),  # one pair was disturbed
        ([(115, 100), (114, 100), (90, 100)], True),
    ],
)
def test_a_row_fails_when_a_message_costs_over_a_tenth_more(
    pairs: Sequence[tuple[float, float]], failed: bool
) -> None:
    judged = judge("row", "instructions", pairs)
    assert judged.failed is failed
    assert ("is lost" in judged.line()) is failed


def test_a_ratio_is_that_of_pairs() -> None:
    """What slows a whole pair down says nothing of the trees."""
    judged = judge("row", "µs", [(10, 10), (30, 30), (20, 20)])
    assert (judged.ratio.minimum, judged.ratio.maximum) == (1, 1)
    assert (judged.this, judged.other) == (20, 20)


def test_what_costs_nothing_cannot_be_judged() -> None:
    with pytest.raises(Silent, match="too little"):
        judge("row", "µs", [(1, 0)])


@pytest.mark.parametrize(
    ("base", "changed", "commit"),
    [
        ("left-main-here", "", "left-main-here"),
        ("left-main-here", " M relay/cli.py", "left-main-here"),
        ("head", "", "head~1"),
        ("head", " M relay/cli.py", "head"),
        (None, "", "head~1"),
        (None, "?? relay/new.py", "head"),
    ],
)
def test_which_commit_is_meant_when_none_is_named(
    base: str | None, changed: str, commit: str
) -> None:
    def ask(verb: str, *_: str) -> str:
        if verb == "merge-base" and base is None:
            raise Silent("git merge-base: not a valid object name main")
        return {"rev-parse": "head", "merge-base": base or "", "status": changed}[verb]

    assert default_commit(ask) == commit


@pytest.mark.parametrize(
    ("perf", "programs", "chosen"),
    [
        (True, {"perf", "valgrind", "vgdb"}, "perf"),
        (False, {"perf", "valgrind", "vgdb"}, "valgrind"),
        (True, {"valgrind", "vgdb"}, "valgrind"),
        (False, {"perf", "valgrind"}, "cpu"),
        (False, set(), "cpu"),
    ],
)
def test_the_best_counter_of_the_machine_is_taken(
    perf: bool, programs: set[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "perf_counts", lambda _: perf)
    monkeypatch.setattr("shutil.which", lambda name: name if name in programs else None)
    assert counting.best() is COUNTERS[chosen]


def test_outputs_of_counters_are_read() -> None:
    assert counted_by_perf("1234567,,instructions:u,5014,100.00,,\n") == 1234567
    assert counted_by_perf("a warning\n0.75,msec,task-clock,748373,100.00,,\n") == 0.75
    assert counted_by_perf("<not counted>,,instructions:u,0,100.00,,\n") == 0
    with pytest.raises(Silent, match="not supported"):
        counted_by_perf("<not supported>,,instructions:u,0,100.00,,\n")
    assert counted_by_callgrind("events: Ir\nfn=(1)\n1 2\nsummary: 42\n\n\ntotals: 43\n") == 42
    with pytest.raises(Silent, match="no sum"):
        counted_by_callgrind("events: Ir\n")


def _counts(counter: Counter, directory: Path) -> list[float]:
    """Of a process that does nothing once, and then the same twice."""
    program = [
        word.replace("@directory@", str(directory))
        for word in counter.command((sys.executable, "-c", WORK))
    ]
    counts = []
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"warm up\n")
        process.stdin.flush()
        process.stdout.readline()
        for line in (b"", b"once\n", b"again\n"):
            with counter.counting(Running(process.pid, {}, directory)) as count:
                process.stdin.write(line)
                process.stdin.flush()
                if line:
                    process.stdout.readline()
            counts.append(count.value)
        process.communicate(b"end\n")
    return counts


@pytest.mark.skipif(not shutil.which("vgdb"), reason="valgrind is not installed")
def test_valgrind_counts_instructions(tmp_path: Path) -> None:
    idle, once, again = _counts(Callgrind(), tmp_path)
    assert once > 1_000_000
    assert again == pytest.approx(once, rel=0.01)
    assert idle < once / 10


@pytest.mark.skipif(
    not shutil.which("perf") or not perf_counts("task-clock"), reason="perf does not count here"
)
def test_perf_counts_while_it_is_told_to(tmp_path: Path) -> None:
    """By an event that every machine has."""
    idle, once, again = _counts(Perf(event="task-clock"), tmp_path)
    assert once > 0
    assert again > 0
    assert idle < once


def test_cpu_time_is_counted(tmp_path: Path) -> None:
    idle, *_ = _counts(Processor(), tmp_path)
    assert idle >= 0


def test_what_did_not_arrive_is_told() -> None:
    with Arrivals("tcp") as sink:
        sink.wait(0, 1)
        with pytest.raises(Silent, match="only 0 of 1 messages"):
            sink.wait(1, 0.01)


def test_each_row_of_the_guard_is_one_of_the_bench() -> None:
    assert {case.name for case in CASES} <= {*NAMES, *chain.from_iterable(GROUPS.values())}


@pytest.mark.skipif(bool(LISTED), reason="there is no history")
def test_both_trees_are_run_and_gone_afterwards() -> None:
    with guard.trees("HEAD") as sides:
        this, other = sides.values()
        for tree in (this, other):
            code = "import relay; print(relay.__file__)"
            said = subprocess.run(
                [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=True
            ).stdout
            assert said.startswith(str(tree))
    assert not this.exists()
    assert not other.exists()


@pytest.mark.skipif(bool(LISTED), reason="there is no history")
def test_a_tree_is_compared_with_its_last_commit() -> None:
    shown: list[str] = []
    (judged,) = guard.guard([SMALL], "HEAD", FAST, shown.append)
    assert len(shown) == guard.steps([SMALL], FAST) == 2
    assert judged.this > 0
    assert judged.other > 0


@pytest.mark.parametrize(
    "case",
    [
        Case("udp", Load("udp", 200, segmented=True), together=64),
        Case("many", Load("tcp", 200, connections=50), together=20),
        *(
            replace(case, load=case.load.part(100))
            for case in CASES
            if case.name in ("relp", "tls-tls")
        ),
    ],
    ids=lambda case: case.name,
)
def test_every_kind_of_load_arrives(case: Case) -> None:
    assert guard.cost(case, ROOT, FAST) >= 0


def test_a_tree_that_does_not_know_a_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "relay.toml"
    template.write_text(SMALL.program.template.read_text() + '\nunheard_of = "key"\n')
    case = replace(SMALL, program=replace(SMALL.program, template=template))
    monkeypatch.setattr(guard, "trees", lambda _: _Same())
    with pytest.raises(Silent, match=r"(?s)abc1234 does not run the row small.*unheard_of"):
        list(guard.guard([case], "abc1234", FAST, lambda _: None))


class _Same:
    def __enter__(self) -> dict[str, Path]:
        return {"abc1234": ROOT}

    def __exit__(self, *_: object) -> None: ...


def _judged(ratio: float) -> Callable[..., list[Judged]]:
    return lambda *_: [judge("tcp-tcp", "instructions", [(ratio, 1.0)])]


@pytest.mark.skipif(bool(LISTED), reason="there is no history")
@pytest.mark.parametrize(("ratio", "code"), [(1.0, 0), (1.2, 1)])
def test_the_command_fails_with_a_row(
    ratio: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "guard", _judged(ratio))
    path = tmp_path / "found.json"
    arguments = ["--guard", "HEAD", "--row", "tcp-tcp", "--json", str(path)]
    done = CliRunner().invoke(command.main, arguments)
    assert done.exit_code == code, done.output
    assert f"{ratio:.3f}" in done.output
    assert json.loads(path.read_text())["rows"][0]["ratio"]["median"] == ratio


@pytest.mark.skipif(bool(LISTED), reason="there is no history")
def test_a_commit_that_is_none_and_a_row_that_is_not_compared() -> None:
    done = CliRunner().invoke(command.main, ["--guard", "no-such-commit"])
    assert done.exit_code == 1
    assert "no-such-commit" in done.output
    done = CliRunner().invoke(command.main, ["--guard", "--row", "start"])
    assert done.exit_code == 2
    assert "no row start" in done.output
