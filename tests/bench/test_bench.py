"""The bench itself: generators and sink count right, and the figures are what they are called.

No figure of a run is asserted: how fast a machine is under test is nobody's bug.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from tests.bench import cost, host
from tests.bench.__main__ import main
from tests.bench.backlog import Backlog
from tests.bench.child import Child, Silent
from tests.bench.comparison import Comparison, Peer
from tests.bench.direct import Direct
from tests.bench.generator import pieces
from tests.bench.hanging_up import hanging_up
from tests.bench.latency import Latency
from tests.bench.load import Load
from tests.bench.messages import DISTINCT, OCTETS, Dialect, message, messages
from tests.bench.more import groups
from tests.bench.overload import Overload, losses
from tests.bench.pace import pace
from tests.bench.plot import bars, bars_svg, curves_svg
from tests.bench.program import (
    PORTS,
    RELAY,
    RELAY_DURABLE,
    RELAY_RELP,
    RELAY_TLS,
    RSYSLOG,
    RSYSLOG_DISK,
    RSYSLOG_GNUTLS,
    RSYSLOG_OPENSSL,
    RSYSLOG_RELP,
    RSYSLOG_RELP_DIRECT,
    RSYSLOG_RELP_DISK,
    RSYSLOG_SYNCED,
    Program,
    filled,
)
from tests.bench.ratio import Spread, ratios
from tests.bench.report import as_json, comparison_lines, direct_lines
from tests.bench.rows import GROUPS, NAMES, rows
from tests.bench.run import Run, measure
from tests.bench.start import Start
from tests.bench.trail import PERCENTILES, latencies_ms
from tests.bench.watcher import watch
from tests.scenarios.harness.waiting import until

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
RELAYS = (RELAY, RELAY_DURABLE, RELAY_RELP, RELAY_TLS)
RSYSLOGS = (RSYSLOG, RSYSLOG_DISK, RSYSLOG_SYNCED, RSYSLOG_RELP, RSYSLOG_RELP_DIRECT)
RSYSLOG_TLS = (RSYSLOG_OPENSSL, RSYSLOG_GNUTLS)
TLS = Load("tls", 5000)
RELAY_RENAMED = replace(RELAY_DURABLE, name="another")
RELP = Load("relp", 128 * 40)  # windows of 1024, five times


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


@pytest.mark.parametrize("load", [*LOADS, TLS, RELP, replace(RELP, quick=True)])
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


@pytest.mark.skipif(RSYSLOG.missing(), reason="rsyslogd is not installed")
@pytest.mark.parametrize(
    ("program", "load"),
    [
        (RSYSLOG_DISK, Load("tcp", 2000)),
        (RSYSLOG_SYNCED, Load("tcp", 20)),
        (RSYSLOG_RELP, RELP),
        (RSYSLOG_RELP_DIRECT, RELP),
        (RSYSLOG_RELP_DISK, RELP),
        *((it, TLS) for it in RSYSLOG_TLS),
    ],
    ids=["disk", "synced", "relp", "relp-direct", "relp-disk", "openssl", "gnutls"],
)
def test_rsyslog_forwards_it_all_from_disk_over_relp_and_tls(program: Program, load: Load) -> None:
    run = measure(program, load)
    assert (run.received, run.lost) == (load.messages, 0)


@pytest.mark.parametrize(
    ("program", "load"),
    [(RELAY_DURABLE, Load("tcp", 5000)), (RELAY_RELP, RELP), (RELAY_TLS, TLS)],
    ids=["durable", "relp", "tls"],
)
def test_relay_forwards_it_all_from_disk_over_relp_and_tls(program: Program, load: Load) -> None:
    run = measure(program, load)
    assert (run.received, run.lost) == (load.messages, 0)
    assert run.latencies_ms == ()


def test_a_child_that_ends_is_silent() -> None:
    with Child("generator", "no load", "0") as child, pytest.raises(Silent, match="ended early"):
        child.hear(10)


def test_figures() -> None:
    assert (SLOW.lost, SLOW.offered, SLOW.rate, SLOW.cpu_us) == (100, 1000, 450, 10)
    spread = ratios([FAST, SLOW, SLOW], [SLOW, SLOW, FAST], lambda run: run.rate)
    assert spread == Spread(0.5, 1, 2)


def test_latencies_are_those_of_each_message() -> None:
    """Ten messages of 5 octets; two are sent at once, and one comes with half of the next."""
    sent = [(2, 0.0), (10, 1.0)]
    came = [(7, 0.001), (10, 0.002), (50, 1.5)]
    found = dict(zip(PERCENTILES, latencies_ms(sent, came, 5), strict=True))
    assert found[50.0] == pytest.approx(500)
    assert found[100.0] == pytest.approx(500)
    assert latencies_ms([(1, 0.0), (2, 0.0)], [(5, 0.001), (10, 0.003)], 5)[-1] == pytest.approx(3)
    assert max(latencies_ms([(2, 0.0)], [(5, 0.001)], 5)) == pytest.approx(1)  # one is lost
    assert latencies_ms([], [], 5) == ()


def test_report() -> None:
    load = Load("udp", 1000, rate=5000)
    text = "\n".join(comparison_lines(load, [{"relay": FAST, "a": SLOW, "b": FAST}]))
    assert " 2.00  (2.00 to 2.00) × a" in text
    assert " 0.50  (0.50 to 0.50) × a" in text
    assert " 1.00  (1.00 to 1.00) × b" in text
    assert "lost 100 of 1,000" in text
    assert "reached only 1,000 of 5,000" in text
    assert "offered      1,000/s" in "\n".join(direct_lines({load: [FAST]}))
    assert json.loads(json.dumps({"relay": FAST}, default=as_json))["relay"]["received"] == 900
    assert json.loads(json.dumps(FAST, default=as_json))["cpu_us"] == 5


def test_cost_of_this_process() -> None:
    assert cost.cpu_seconds(os.getpid()) > 0
    assert cost.waiting_seconds(os.getpid()) >= 0
    assert cost.memory_peak(os.getpid()) >= cost.memory_now(os.getpid()) > 0


def test_a_peak_of_memory_can_be_forgotten() -> None:
    """In a process of its own: what others leave to the allocator is not to be in the way."""
    code = "import sys; large = b'x' * (64 << 20); del large; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        peak = cost.memory_peak(process.pid)
        cost.forget_memory_peak(process.pid)
        after = cost.memory_peak(process.pid)
        process.communicate()
    assert after < peak - (32 << 20)


@pytest.mark.parametrize("program", [*RELAYS, *RSYSLOGS, *RSYSLOG_TLS])
def test_configurations_have_nothing_left_to_fill_in(program: Program) -> None:
    values = dict.fromkeys(("configuration", "directory", "certificates", "sink", *PORTS), "1")
    assert "@" not in filled(program.template.read_text(), dict(program.values) | values)


MORE = [row for found in groups(None).values() for row in found]
COMPARISONS = {row.name: row for row in MORE if isinstance(row, Comparison)}


@pytest.mark.parametrize("octets", [64, 256, 8192])
@pytest.mark.parametrize("dialect", ["rfc5424", "rfc3164", "fleet"])
def test_messages_have_the_size_that_is_asked_for(octets: int, dialect: Dialect) -> None:
    found = messages(octets, dialect)
    assert {len(each) for each in found} == {octets}
    assert len(set(found)) == DISTINCT


def test_every_row_is_in_one_group_and_chosen_by_either_name() -> None:
    names = [*NAMES, *(row.name for row in MORE)]
    assert len(set(names)) == len(names)
    assert not set(names) & set(GROUPS)
    for group, members in GROUPS.items():
        assert [row.name for row in rows([group], backlog=None, syslog_ng=None)] == members
    assert [row.name for row in rows(["size-64"], backlog=None, syslog_ng=None)] == ["size-64"]
    listed = CliRunner().invoke(main, ["--list"]).output
    assert all(name in listed for name in names)


@pytest.mark.parametrize("row", COMPARISONS.values(), ids=COMPARISONS)
def test_configurations_of_more_rows_have_nothing_left_to_fill_in(row: Comparison) -> None:
    values = dict.fromkeys(("configuration", "directory", "certificates", "sink", *PORTS), "1")
    for program in (row.relay, *(peer.program for peer in row.peers)):
        assert "@" not in filled(program.template.read_text(), dict(program.values) | values)


@pytest.mark.parametrize(
    "name",
    ["size-64", "connections-10", "fan-out-3", "rules-10", "to-json", "file", "memory", "dead"],
)
def test_relay_carries_all_of_one_row_of_each_group(name: str) -> None:
    row = COMPARISONS[name]
    run = measure(row.relay, replace(row.load, messages=2000))
    assert (run.received, run.lost) == (2000, 0)
    assert run.seconds > 0


@pytest.mark.skipif(RSYSLOG.missing(), reason="rsyslogd is not installed")
@pytest.mark.parametrize("name", ["fan-out-3", "rules-10", "to-rfc5424", "file", "dead"])
def test_rsyslog_carries_all_of_them_as_well(name: str) -> None:
    row = COMPARISONS[name]
    run = measure(row.peers[-1].program, replace(row.load, messages=2000))
    assert (run.received, run.lost) == (2000, 0)


def test_loss_is_told_by_program_and_rate() -> None:
    row = Overload("a", "b", Load("udp", 0, burst=100), (1000, 2000), (RELAY,))
    told = row.part(30).tell(1, lambda _: None)
    assert [run["relay"].sent for run in told.runs] == [100, 200]
    shares = losses([{"a": SLOW}, {"a": FAST}, {"a": SLOW}], (1, 2))
    assert shares["a"] == {1: Spread(0.1, 0.1, 0.1), 2: Spread(0.1, 0.1, 0.1)}


def test_runs_become_bars_and_curves() -> None:
    results: dict[str, list[object]] = {
        "one": [{"relay": FAST, "a <b>": SLOW}],
        "alone": [{"relay": FAST}],
        "other": [FAST],
    }
    (bar,) = bars(results)
    assert (bar.label, bar.rate.median, bar.cpu.median) == ("one, × a <b>", 2, 0.5)
    drawn = ElementTree.fromstring(bars_svg([bar]))
    assert "one, × a <b>" in [text.text for text in drawn.iter() if text.tag.endswith("text")]
    curves = curves_svg({"a": {1: Spread(0, 0, 0), 2: Spread(0, 0.5, 1)}})
    lines = [it for it in ElementTree.fromstring(curves).iter() if it.tag.endswith("polyline")]
    assert lines[1].attrib["points"] == "405.0,320.0 750.0,170.0"


def test_a_program_is_hung_up_on_until_the_end() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: came.append(number))
    try:
        with hanging_up(os.getpid(), 0.01):
            until(lambda: len(came) >= 2, "two signals come")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_watch_ends_when_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.watcher.QUIET_SECONDS", 0.05)
    counts = iter([3, 5])
    assert watch(lambda: next(counts), 5, 0.001)[0] == 5
    assert watch(lambda: 4, 5, 0.001)[0] == 4


def test_every_row_has_its_own_name() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert [row.name for row in rows((), backlog=None, syslog_ng=None)] == NAMES


def test_a_backlog_of_another_size() -> None:
    (row,) = rows(["backlog"], backlog=5000, syslog_ng=None)
    assert isinstance(row, Backlog)
    assert row.load.messages == 5000


def test_syslog_ng_takes_part_where_it_was_unpacked(tmp_path: Path) -> None:
    (row,) = rows(["durable"], backlog=None, syslog_ng=tmp_path)
    assert isinstance(row, Comparison)
    assert [peer.program.name for peer in row.peers][-1] == "syslog-ng, reliable disk-buffer"
    assert row.peers[-1].program.command[0] == "env"


def test_a_comparison_runs_each_program_in_turn() -> None:
    shown: list[str] = []
    row = Comparison("a", "b", Load("tcp", 5000), RELAY_DURABLE, [Peer(RELAY_RENAMED, 5)])
    told = row.tell(2, shown.append)
    assert len(shown) == row.steps(2) == 4
    assert [run["relay"].sent for run in told.runs] == [5000, 5000]
    assert [run["another"].received for run in told.runs] == [1000, 1000]
    assert row.part(5).load.messages == 1000


def test_a_backlog_leaves_whole_and_is_compared_with_the_live_rate() -> None:
    shown: list[str] = []
    row = Backlog("a", "{messages:,} wait", Load("tcp", 20_000), RELAY_DURABLE)
    told = row.tell(1, shown.append)
    assert len(shown) == row.steps(1)
    live, drained = told.runs[0]
    assert (live.received, drained.received, drained.lost) == (20_000, 20_000, 0)
    assert drained.filling_memory_peak >= drained.memory > 0
    assert drained.memory_peak > 0
    assert "20,000 wait" in told.lines[0]


def test_latency_is_measured_of_every_message() -> None:
    row = Latency("a", "b", Load("tcp", 2000, rate=10_000, timed=True), RELAY_DURABLE)
    told = row.tell(1, lambda _: None)
    assert told.runs[0].lost == 0
    assert list(told.runs[0].latencies_ms) == sorted(told.runs[0].latencies_ms)
    assert told.runs[0].latencies_ms[0] > 0
    assert "99th percentile" in "\n".join(told.lines)


def test_a_start_is_timed_until_the_service_manager_hears() -> None:
    told = Start("a", "b", RELAY_DURABLE).tell(1, lambda _: None)
    assert told.runs[0].ready_seconds > 0
    assert told.runs[0].memory > 1 << 20
    assert "ready after" in told.lines[1]


@pytest.fixture
def _small_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Direct("direct", "small", (Load("tcp", 50_000),))
    monkeypatch.setattr("tests.bench.rows.ROWS", (row,))


@pytest.mark.usefixtures("_small_direct")
def test_the_command_reports_and_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    done = CliRunner().invoke(main, ["--row", "direct", "--quick", "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "direct: small" in done.output
    assert json.loads(path.read_text())["rows"]["direct"][0]["received"] == 5000
    assert host.host()["kernel"] in done.output
