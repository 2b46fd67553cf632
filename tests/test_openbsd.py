"""The catalogue of OpenBSD's regression tests for its syslogd: complete, and what it names exists.

`openbsd-tests.txt` has the names of the 192 tests, without `args-` and `.pl`.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = (ROOT / "tests/openbsd-tests.txt").read_text().split()
ROW = re.compile(r"\| (`.+?`) \| (.+?) \| (.*?) ?\|")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

ROWS = [
    (name, found[2], found[3])
    for line in (ROOT / "docs/openbsd.md").read_text().splitlines()
    if (found := ROW.fullmatch(line))
    for name in re.findall(r"`([\w-]+)`", found[1])
]


def test_every_test_of_openbsd_has_one_row() -> None:
    assert sorted(name for name, _, _ in ROWS) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES) == 192


@pytest.mark.parametrize(("name", "ours", "remark"), ROWS, ids=[row[0] for row in ROWS])
def test_each_row_names_a_test_of_ours_or_says_why_not(name: str, ours: str, remark: str) -> None:
    if ours == "–":
        assert len(remark) > 20, name
        return
    for reference in ours.split(", "):
        found = TEST.fullmatch(reference)
        assert found, reference
        assert found[2] in _functions(ROOT / found[1]), reference


@cache
def _functions(path: Path) -> set[str]:
    """Names of the tests in this file, at its top or in a class."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }
