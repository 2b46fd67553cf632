"""The bench itself: generators and sink count right, and the figures are what they are called.

No figure of a run is asserted: how fast a machine is under test is nobody's bug.
"""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import cost, host
from tests.bench.__main__ import main
from tests.bench.child import Child, Silent
from tests.bench.generator import pieces
from tests.bench.load import Load
from tests.bench.messages import DISTINCT, OCTETS, message, messages
from tests.bench.pace import pace
from tests.bench.program import PORTS, RELAY, RSYSLOG, filled
from tests.bench.ratio import Pair, Spread, ratios
from tests.bench.report import as_json, direct_lines, pair_lines
from tests.bench.row import ROWS, Row
from tests.bench.run import Run, measure

SLOW = Run(
    sent=1000, received=900, sending_seconds=1, seconds=2, cpu_seconds=0.009, memory_peak=1 << 20
)
FAST = Run(
    sent=1000, received=900, sending_seconds=1, seconds=1, cpu_seconds=0.0045, memory_peak=1 << 21
)

LOADS = (
    Load("tcp", 5000),
    Load("tcp", 200, connections=20, rate=10_000),
    Load("udp", 500, rate=100_000, burst=100),
    Load("udp", 500, rate=100_000, burst=100, segmented=True),
)


def test_messages_are_numbered_and_of_one_size() -> None:
    assert {len(each) for each in messages()} == {OCTETS}
    assert len(set(messages())) == DISTINCT
    assert message(7).startswith(b"<107>1 2026-11-23T07:28:00.007Z ")


@pytest.mark.parametrize("stop", [0, 1, 64, 100, DISTINCT, 2 * DISTINCT + 5])
def test_pieces_cover_each_message_once(stop: int) -> None:
    found = list(pieces(3, 3 + stop, 64))
    assert [at % DISTINCT for at in range(3, 3 + stop)] == [at for it in found for at in it]
    assert all(0 < len(piece) <= 64 for piece in found)


def test_pace_sends_each_message_once() -> None:
    sent: list[int] = []
    pace(250, 1_000_000, 100, lambda start, stop: sent.extend(range(start, stop)))
    assert sent == list(range(250))


def test_pace_gives_up_what_it_cannot_catch_up_on() -> None:
    sizes: list[int] = []

    def send(start: int, stop: int) -> None:
        sizes.append(stop - start)
        time.sleep(0.05)

    pace(1000, 10_000, 1, send)
    assert max(sizes) <= 200  # 20 ms of them


@pytest.mark.parametrize("load", LOADS)
def test_a_load_arrives_at_the_sink(load: Load) -> None:
    run = measure(None, load)
    assert (run.sent, run.received, run.lost) == (load.messages, load.messages, 0)
    assert run.sending_seconds > 0
    assert run.seconds > 0


@pytest.mark.skipif(RSYSLOG.missing(), reason="rsyslogd is not installed")
@pytest.mark.parametrize("load", LOADS)
def test_rsyslog_forwards_it_all(load: Load) -> None:
    run = measure(RSYSLOG, load)
    assert (run.received, run.lost) == (load.messages, 0)
    assert run.memory_peak > 0


def test_a_child_that_ends_is_silent() -> None:
    with Child("generator", "no load", "0") as child, pytest.raises(Silent, match="ended early"):
        child.hear(10)


def test_figures() -> None:
    assert (SLOW.lost, SLOW.offered, SLOW.rate, SLOW.cpu_us) == (100, 1000, 450, 10)
    spread = ratios([Pair(FAST, SLOW), Pair(SLOW, SLOW), Pair(SLOW, FAST)], lambda run: run.rate)
    assert spread == Spread(0.5, 1, 2)


def test_report() -> None:
    row = Row("a", "b", (Load("udp", 1000, rate=5000),))
    text = "\n".join(pair_lines(row, [Pair(FAST, SLOW)]))
    assert " 2.00  (2.00 to 2.00) × rsyslog's" in text
    assert " 0.50  (0.50 to 0.50) × rsyslog's" in text
    assert "lost 100 of 1,000" in text
    assert "reached only 1,000 of 5,000" in text
    assert "offered      1,000/s" in "\n".join(direct_lines(row, {row.loads[0]: [FAST]}))
    assert json.loads(json.dumps(Pair(FAST, SLOW), default=as_json))["relay"]["received"] == 900
    assert json.loads(json.dumps(FAST, default=as_json))["cpu_us"] == 5


def test_cost_of_this_process() -> None:
    assert cost.cpu_seconds(os.getpid()) > 0
    assert cost.waiting_seconds(os.getpid()) >= 0
    assert cost.memory_peak(os.getpid()) > 0


def test_configurations_have_nothing_left_to_fill_in() -> None:
    names = ("configuration", "directory", "sink", *PORTS)
    for program in (RELAY, RSYSLOG):
        assert "@" not in filled(program.template.read_text(), dict.fromkeys(names, "1"))


def test_every_row_has_its_own_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.fixture
def _small_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("direct", "small", (Load("tcp", 5000),), compared=False)
    monkeypatch.setattr("tests.bench.__main__.ROWS", (row,))


@pytest.mark.usefixtures("_small_direct")
def test_the_command_reports_and_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    done = CliRunner().invoke(main, ["--row", "direct", "--pairs", "1", "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "direct: small" in done.output
    assert json.loads(path.read_text())["rows"]["direct"][0]["received"] == 5000
    assert host.host()["kernel"] in done.output
