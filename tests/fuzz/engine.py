"""Runs targets under atheris: libFuzzer, with coverage of Python as what guides it.

This module is imported before anything of Relay is: what is imported inside `instrumented` counts
its branches. Each target then runs in a fork of this one process, so that the instrumenting, most
of the cost, is paid once.
"""

import hashlib
import os
import re
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import Target

TRY_SECONDS_MAX = 10  # one input
MEMORY_OCTETS_MAX = 2 << 30  # of the address space: beyond it a target gets a MemoryError
CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Run:
    """How one target fared."""

    target: str
    findings: Sequence[Path]
    log: str
    failed: bool

    def number(self, pattern: str) -> int:
        """The last one in the log that stands behind this."""
        found = re.findall(pattern + r"\s*(\d+)", self.log)
        return int(found[-1]) if found else 0

    @property
    def story(self) -> str:
        """What the log says of the finding, or of why there was no run."""
        _, _, behind = self.log.partition("=== Uncaught Python exception: ===")
        return (behind or self.log[-2000:])[:4000]

    def __str__(self) -> str:
        verdict = ", ".join(map(str, self.findings)) if self.findings else "nothing found"
        if self.failed and not self.findings:
            verdict = "FAILED"
        return (
            f"{self.target:14} {self.number('number_of_executed_units:'):9} runs, "
            f"{self.number('average_exec_per_sec:'):6} a second, "
            f"{self.number('cov:'):5} branches, {self.number('ft:'):6} features: {verdict}"
        )


@contextmanager
def instrumented() -> Iterator[None]:
    import atheris

    with atheris.instrument_imports(include=["relay", "tests.fuzz.bugs"]):
        yield


def fuzz(
    targets: Sequence[Target],
    limit: Sequence[str],
    directory: Path,
    *,
    processes: int,
    seeded: bool,
) -> Iterator[Run]:
    """Each target up to libFuzzer's own limit. What it learns is in `directory/TARGET`.

    Findings are beside it. Without `seeded` it knows nothing of the corpus.
    """
    waiting = list(targets)
    running: dict[int, tuple[Target, Path]] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            target = waiting.pop(0)
            log = directory / f"{target.name}.log"
            pid = os.fork()
            if pid == 0:
                _child(target, limit, directory, log, seeded=seeded)
            running[pid] = target, log
        pid, status = os.wait()
        if pid in running:
            target, log = running.pop(pid)
            text = log.read_text(errors="replace")
            findings = sorted((directory / "findings" / target.name).glob("*-*"))
            yield Run(target.name, findings, text, failed=os.waitstatus_to_exitcode(status) != 0)


def _child(
    target: Target, limit: Sequence[str], directory: Path, log: Path, *, seeded: bool
) -> None:
    """Does not return."""
    import atheris

    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_OCTETS_MAX, MEMORY_OCTETS_MAX))
    known, findings = directory / target.name, directory / "findings" / target.name
    for each in (known, findings):
        each.mkdir(parents=True, exist_ok=True)
    options = [
        *limit,
        f"-timeout={TRY_SECONDS_MAX}",
        f"-max_len={target.octets_max}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-print_funcs=0",
        "-rss_limit_mb=0",
    ]
    if target.words:
        options.append(f"-dict={_dictionary(target.words)}")
    options.append(str(known))
    if seeded and (CORPUS / target.name).is_dir():
        options.append(str(CORPUS / target.name))
    ended: object = 1
    try:
        atheris.Setup(["fuzz", *options], _keeping(target, findings))
        atheris.Fuzz()
        ended = 0
    except SystemExit as end:
        ended = end.code
    finally:  # what the parent has opened is the parent's to clean up
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended if isinstance(ended, int) else 1)


def _keeping(target: Target, findings: Path) -> Callable[[bytes], None]:
    """Keeps the input that fails: libFuzzer does for a crash only, not for an exception."""

    def run(data: bytes) -> None:
        try:
            target.run(data)
        except Exception:
            (findings / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise

    return run


def _dictionary(words: Sequence[bytes]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".dict", delete=False) as file:
        for word in words:
            file.write('"{}"\n'.format("".join(f"\\x{octet:02x}" for octet in word)))
    return file.name
