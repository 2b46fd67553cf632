"""A process of the bench's own, spoken to in lines of JSON."""

import json
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Silent(Exception):
    """A process of a run ended, or did not answer in time."""


class Child:
    """Ends with its `with` block, whatever it does."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with suppress(BrokenPipeError):
            self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def hear(self, seconds_max: float) -> dict[str, Any]:
        """The next line.

        Raises:
            Silent: there is none within the time.
        """
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], seconds_max)[0]:
            raise Silent(f"the {self._module} said nothing for {seconds_max:g} s")
        line = stdout.readline()
        if not line:
            raise Silent(f"the {self._module} ended early")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def say(self) -> None:
        """An empty line: go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
