"""Rows with reloads: the configuration does change, and a reload that is none spoils the run."""

from contextlib import closing
from dataclasses import replace

import pytest

from tests.bench.child import Silent
from tests.bench.comparison import Comparison
from tests.bench.load import Load
from tests.bench.program import running
from tests.bench.reloads import reloading
from tests.bench.rows import rows
from tests.bench.run import measure
from tests.scenarios.harness.books import Scraper
from tests.scenarios.harness.waiting import until

(ROW,) = rows(["reload-changed"], backlog=None, syslog_ng=None)
assert isinstance(ROW, Comparison)
CHANGED = ROW.relay


def test_relay_carries_all_while_its_configuration_changes() -> None:
    run = measure(replace(CHANGED, hup_seconds=0.1), Load("tcp", 10_000, rate=20_000))
    assert (run.received, run.lost) == (10_000, 0)


def test_a_configuration_that_changes_is_in_force_and_gone_in_turn() -> None:
    other = "relay_listener_bound", frozenset([("listener", "other")])
    with (
        running(CHANGED, 1) as it,
        closing(Scraper(it.ports["admin"])) as scraper,
        reloading(CHANGED, it, seconds=0.3),
    ):
        for _ in range(2):
            until(lambda: scraper.metrics().get(other), "the other listener is there")
            until(lambda: other not in scraper.metrics(), "it is gone again")


def test_a_reload_that_is_refused_spoils_the_run() -> None:
    program = replace(CHANGED, turned=(("outputs", "no TOML"),))
    with pytest.raises(Silent, match="1 signals, 0 configurations taken, 1 refused"):
        measure(program, Load("tcp", 100))


def test_a_signal_that_is_not_heard_spoils_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.reloads.HEARD_SECONDS_MAX", 0.1)
    monkeypatch.setattr("tests.bench.hanging_up.signal.SIGHUP", 0)  # kill(2) sends none
    with pytest.raises(Silent, match="1 signals, 0 configurations taken, 0 refused"):
        measure(CHANGED, Load("tcp", 100))
