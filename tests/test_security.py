"""The threat model names tests that exist, and the supply chain is as docs/security.md says."""

import ast
import json
import re
import runpy
from functools import cache
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[1]
MODEL = (ROOT / "docs/security.md").read_text().partition("## The threat model")[2]
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in MODEL.splitlines()
    if line.startswith("| ") and not line.startswith(("| what", "| ---"))
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_there_is_a_model() -> None:
    assert len(ROWS) > 30
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_names_tests_that_exist_or_says_what_to_do(row: tuple[str, str, str]) -> None:
    _, happens, last = row
    if happens == "–":
        assert len(last) > 20
        return
    for reference in last.split(", "):
        found = TEST.fullmatch(reference)
        assert found, reference
        assert found[2] in functions(ROOT / found[1]), reference


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


# -- the supply chain

LOCKED = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+) \\$", re.MULTILINE)


def canonical(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted() -> dict[str, tuple[int, ...]]:
    """The packages that pyproject.toml names, each with the lowest version that will do."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = {}
    for text in (*project["dependencies"], *extras["test"], *extras["dev"]):
        match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", text)
        if match:
            found[canonical(match[1])] = numbers(match[2])
        else:
            assert text.startswith("syslog-relay["), text
    return found


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def test_the_lock_has_every_dependency_with_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = {canonical(name): numbers(version) for name, version in LOCKED.findall(text)}
    for name, lowest in wanted().items():
        assert locked.get(name, ()) >= lowest, name
    parts = re.split(r"^(?=[\w.-]+(?:\[[\w,]+\])?==)", text, flags=re.MULTILINE)[1:]
    assert len(parts) == len(locked)
    assert all("--hash=sha256:" in part for part in parts)
    assert "://" not in text
    assert "--index" not in text


VULNERABLE = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
CLEAN = {"name": "b", "version": "1", "vulns": []}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("code", "packages", "errors", "verdict", "text"),
    [
        (0, [CLEAN], "", 0, "no known vulnerabilities in 1 packages"),
        (1, [CLEAN, VULNERABLE, SKIPPED], "", 1, "a 1: CVE-1 (fixed in 2)"),
        (0, [CLEAN, SKIPPED], "", 0, "in 1 packages; NOT AUDITED: c"),
        (0, [SKIPPED, SKIPPED], "", 0, "NOT AUDITED: the service knew none of the 2 packages"),
        (
            1,
            None,
            "requests.exceptions.ProxyError: no",
            0,
            "NOT AUDITED: the vulnerability service",
        ),
        (1, None, "Traceback: KeyError", 1, "pip-audit failed"),
        (2, [CLEAN], "usage", 2, "pip-audit failed"),
    ],
)
def test_the_checks_look_for_known_vulnerabilities(
    code: int, packages: object, errors: str, verdict: int, text: str
) -> None:
    """They fail on a finding, and call what nobody could look up not audited, never clean."""
    report = "" if packages is None else json.dumps({"dependencies": packages})
    judged = runpy.run_path(str(ROOT / ".ci/audit.py"))["judge"](code, report, errors)
    assert judged[0] == verdict
    assert text in judged[1]


def test_the_checks_install_what_is_locked_and_audit_it() -> None:
    checks = (ROOT / ".ci/run").read_text()
    assert "--require-hashes -r requirements.lock" in checks
    assert ".ci/audit.py" in checks
