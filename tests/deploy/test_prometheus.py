"""Scraping and alert rules: what promtool says of them, and that they fit the metrics."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.admin.exposition import expose, registry_of
from relay.admin.metrics import METRICS
from relay.admin.state import Admin
from relay.config import load
from relay.supervisor.state import Relay
from relay.system.machine import SystemMachine
from tests.deploy.files import DEPLOY, adapted, need

PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "relay.rules.yml"
RULES_TEST = PROMETHEUS / "relay.rules.test.yml"
SCRAPE = PROMETHEUS / "scrape.yml"

TARGET = {"job", "instance"}  # labels that Prometheus adds
OTHERS = {"up", "process_start_time_seconds"}  # series that are not in our table of metrics
SEVERITIES = {"critical", "warning", "info"}


def blocks(path: Path, head: str) -> dict[str, str]:
    """The text below each `head: NAME`, by name."""
    _, *parts = re.split(rf"(?m)^ +- {head}: (\w+)$", path.read_text())
    assert len(set(parts[::2])) == len(parts[::2])
    return dict(zip(parts[::2], parts[1::2], strict=True))


ALERTS = blocks(RULES, "alert")
TESTS = blocks(RULES_TEST, "name")


def expression(alert: str) -> str:
    found = re.search(r"(?ms)^        expr: (?:>-)?(.*?)(?=^        \w)", ALERTS[alert])
    assert found
    return found[1]


def selectors(alert: str) -> dict[str, str]:
    """The series that an alert asks for, by name, each with what stands in its braces."""
    text = re.sub(r"\b(?:by|on|without|group_left) ?\([^)]*\)", "", expression(alert))
    return dict(re.findall(r"\b(up|(?:relay|process)_\w+)(?:\{(.*?)\})?", text))


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [need("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def series(tmp_path: Path) -> dict[str, dict[str, set[str]]]:
    """What a relay exposes: for each name its labels, for each label the values seen."""
    relay = Relay(load(str(adapted("systemd", tmp_path))), SystemMachine())
    for name, keys in relay.config.pipes.items():
        relay.ledger.pipe(name, *keys.to)
    for name in relay.config.listeners:
        relay.ledger.listener(name)
    found: dict[str, dict[str, set[str]]] = {it.name: {} for it in METRICS}
    text, _ = expose(registry_of(Admin(relay)), "")
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    for metric in METRICS:
        for label in metric.labels:
            found[metric.name].setdefault(label, set())
    return found


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    text = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert f"{len(ALERTS)} rules found" in text


def test_promtool_finds_each_alert_firing_when_it_should_and_only_then() -> None:
    promtool("test", "rules", RULES_TEST)


def test_the_scrape_configuration_is_valid_by_itself_and_inside_a_whole_one(tmp_path: Path) -> None:
    promtool("check", "config", "--lint=all", "--lint-fatal", SCRAPE)
    whole = tmp_path / "prometheus.yml"
    whole.write_text(
        f"global:\n  scrape_interval: 1m\nrule_files:\n  - {RULES}\n{SCRAPE.read_text()}"
    )
    text = promtool("check", "config", "--lint=all", "--lint-fatal", whole)
    assert "1 rule files found" in text


def test_the_job_is_the_one_that_the_rules_look_for() -> None:
    jobs = re.findall(r"job_name: (\w+)", SCRAPE.read_text())
    assert jobs == ["relay"]
    assert set(re.findall(r'job="(\w+)"', RULES.read_text())) == set(jobs)


def test_the_target_is_where_the_admin_server_listens(tmp_path: Path) -> None:
    admin = load(str(adapted("systemd", tmp_path))).admin
    assert admin
    assert f'targets: ["{admin.listen[0]}"]' in SCRAPE.read_text()


def test_every_alert_has_tests_and_every_test_an_alert() -> None:
    assert list(TESTS) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_both_ways(alert: str) -> None:
    _, *cases = TESTS[alert].split("- eval_time: ")
    assert all(re.search(r"alertname: (\w+)", case)[1] == alert for case in cases)  # type: ignore[index]
    quiet = [case for case in cases if "exp_alerts: []" in case]
    firing = [case for case in cases if "- exp_labels:" in case]
    assert quiet
    assert firing
    assert len(quiet) + len(firing) == len(cases)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert: str) -> None:
    text = ALERTS[alert]
    assert re.search(r'(?m)^          summary: ".+"$', text)
    assert re.search(r"(?m)^          description: >-\n            \S", text)
    assert f"          runbook: docs/operations.md#{alert.lower()}\n" in text
    severity = re.search(r"severity: (\w+)", text)
    assert severity
    assert severity[1] in SEVERITIES


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_series_that_exist(
    alert: str, series: dict[str, dict[str, set[str]]]
) -> None:
    asked = selectors(alert)
    assert asked
    assert asked.keys() - OTHERS <= {it.name for it in METRICS}
    labels = set(TARGET)
    for name, braces in asked.items():
        if name == "up":  # of Prometheus itself
            continue
        there = series[name]
        labels |= there.keys()
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"(.*?)"', braces):
            if label not in TARGET:
                assert set(values.split("|")) <= there[label], f"{name}: {label}"
    assert set(re.findall(r"\$labels\.(\w+)", ALERTS[alert])) <= labels


@pytest.mark.parametrize("alert", ALERTS)
def test_the_tests_of_an_alert_feed_series_as_they_are_exposed(
    alert: str, series: dict[str, dict[str, set[str]]]
) -> None:
    fed = re.findall(r"- series: '(\w+)\{(.*)\}'", TESTS[alert])
    assert {name for name, _ in fed} == set(selectors(alert))
    for name, braces in fed:
        labels = {"up": set()}.get(name) if name == "up" else set(series[name])
        assert set(re.findall(r'(\w+)="', braces)) == (labels or set()) | TARGET, name
