"""Every target holds for its corpus, can fail, and holds for a short time under the fuzzer."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.bugs import BUGS, Bug
from tests.fuzz.corpus import CORPUS, inputs
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Target

ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("RELAY_FUZZ_SECONDS")
CORPUS_OCTETS_MAX = 400_000
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed; it has no wheel for every Python and machine",
)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_corpus_holds(target: Target) -> None:
    assert len(inputs(target.name)) >= 2
    target.run(b"")
    for path in inputs(target.name):
        try:
            target.run(path.read_bytes())
        except Exception as exc:
            raise AssertionError(f"python -m tests.fuzz --reproduce {path}") from exc


def found_in_the_corpus(bug: Bug) -> bool:
    target = TARGETS[bug.finder]
    with bug.planted():
        for path in inputs(target.name):
            try:
                target.run(path.read_bytes())
            except Exception:
                return True
    return False


@pytest.mark.parametrize(
    "bug", [bug for bug in BUGS if not bug.deep], ids=lambda bug: f"{bug.finder}: {bug.name}"
)
def test_a_planted_bug_is_found_in_the_corpus(bug: Bug) -> None:
    assert found_in_the_corpus(bug)


def test_every_target_has_a_planted_bug_and_a_corpus() -> None:
    assert {bug.finder for bug in BUGS} == TARGETS.keys()
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()
    octets = sum(path.stat().st_size for name in TARGETS for path in inputs(name))
    assert octets <= CORPUS_OCTETS_MAX


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--fresh", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@needs_atheris
def test_a_short_run_under_the_fuzzer_finds_nothing() -> None:
    """The same inputs each time; others, and for longer, with RELAY_FUZZ_SECONDS."""
    ended = fuzz("--all", *(("--seconds", SECONDS) if SECONDS else ("--runs", "2000")))
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert ended.stdout.count("nothing found") == len(TARGETS)


@needs_atheris
def test_the_fuzzer_finds_what_the_corpus_does_not() -> None:
    """From nothing: four octets that it can only learn one after the other, by their branches."""
    [bug] = [bug for bug in BUGS if bug.deep]
    assert not found_in_the_corpus(bug)
    ended = fuzz("--target", bug.finder, "--bug", bug.name, "--seconds", "120")
    assert ended.returncode == 1, ended.stdout
    assert "ValueError" in ended.stdout
