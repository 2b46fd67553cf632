"""Runs Python that locks itself in: in a process of its own, since there is no way back."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import errno, json, os, socket, subprocess, sys, ctypes, threading
from relay.system.ports import Touch
from relay.system.privileges import Identity, NotDropped, drop, forbid_more
from relay.system.sandbox import close, grant
def attempt(function, *arguments):
    try:
        function(*arguments)
    except OSError as exc:
        return errno.errorcode[exc.errno]
    return "done"
def status():
    lines = open("/proc/self/status").read().splitlines()
    return {name: values.split() for name, _, values in (it.partition(":") for it in lines)}
answers = {}
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def run(script: str, *arguments: str | Path) -> dict[str, object]:
    """What the script has put into `answers`."""
    whole = PRELUDE + textwrap.dedent(script) + "\nprint(json.dumps(answers), flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", whole, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert isinstance(answers, dict)
    return answers


def need(kind: str) -> None:
    """Skip where the kernel, or what is installed, has no such thing."""
    answers = run("""
        closed = close(grant([]))
        answers.update(landlock=closed.landlock, seccomp=closed.seccomp, why=list(closed.missing))
    """)
    if not answers[kind]:
        pytest.skip(f"no {kind} here: {answers['why']}")


__all__ = ["need", "needs_root", "run"]
