"""The comparison of losses: it reads and judges right, and Relay's modes keep their word.

The peers are not run here: what they lose is their affair, and stands in README.md.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench.claims import from_ctl, from_impstats, from_metrics
from tests.bench.loss import HEADINGS, as_json, as_markdown, as_text, main
from tests.bench.messages import message
from tests.bench.oracle import Verdict, judge, number_of, recorded
from tests.bench.program import PORTS, filled
from tests.bench.story import BURST, Outcome, Story, tell
from tests.bench.subject import Subject, relay_modes, subjects

QUICK = Story(
    before=300, stopped=100, away=200, stopped_seconds=0.3, away_seconds=0.2, quiet_seconds=0.5
)

IMPSTATS = """\
Tue Nov 24 12:00:00 2026: { "name": "forward", "origin": "core.action", "processed": 10, \
"failed": 0, "suspended": 0, "suspended.duration": 0, "resumed": 0 }
Tue Nov 24 12:00:01 2026: { "name": "main Q", "origin": "core.queue", "size": 7 }
Tue Nov 24 12:00:01 2026: { "name": "forward", "origin": "core.action", "processed": 4000, \
"failed": 1, "suspended": 2, "suspended.duration": 1, "resumed": 1 }
Tue Nov 24 12:00:01 2026: { "name": "forward queue[DA]", "origin": "core.queue", "size": 3, \
"enqueued": 100, "full": 0, "discarded.full": 1, "discarded.nf": 0, "maxqsize": 100 }
Tue Nov 24 12:00:01 2026: { "name": "forward queue", "origin": "core.queue", "size": 40, \
"enqueued": 4000, "full": 0, "discarded.full": 2, "discarded.nf": 4, "maxqsize": 1499 }
Tue Nov 24 12:00:02 2026: { "name": "forward", "origin": "core.act"""
CTL = """\
SourceName;SourceId;SourceInstance;State;Type;Number
center;;received;a;processed;4000
src.syslog;net#0;127.0.0.1;d;processed;4000
dst.syslog;sink#0;tcp,127.0.0.1:31000;a;dropped;0
dst.syslog;sink#0;tcp,127.0.0.1:31000;a;processed;4000
dst.syslog;sink#0;tcp,127.0.0.1:31000;a;queued;5
dst.syslog;sink#0;tcp,127.0.0.1:31000;a;written;3995
"""
METRICS = """\
# TYPE relay_pipe_delivered_total counter
relay_pipe_delivered_total{confirmation="acked",pipe="forward"} 3990
relay_pipe_delivered_total{confirmation="sent",pipe="forward"} 0
# TYPE relay_pipe_dropped_total counter
relay_pipe_dropped_total{pipe="forward",reason="full"} 3
relay_pipe_dropped_total{pipe="forward",reason="crash"} 4
# TYPE relay_pipe_retried_total counter
relay_pipe_retried_total{pipe="forward"} 12
# TYPE relay_pipe_replayed_total counter
relay_pipe_replayed_total{pipe="forward"} 30
# TYPE relay_pipe_held_messages gauge
relay_pipe_held_messages{pipe="forward",where="memory"} 1
relay_pipe_held_messages{pipe="forward",where="spool"} 2
"""


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (range(5), Verdict(5, lost=0, duplicated=0, foreign=0)),
        ([], Verdict(5, lost=5, duplicated=0, foreign=0)),
        ([0, 1, 1, 1, 4], Verdict(5, lost=2, duplicated=2, foreign=0)),
        ([4, 3, 2, 1, 0, 5], Verdict(5, lost=0, duplicated=0, foreign=1)),
    ],
)
def test_judge(found: range | list[int], verdict: Verdict) -> None:
    assert judge(5, [message(number) for number in found]) == verdict
    assert verdict.intact == (not verdict.lost and not verdict.foreign)


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (message(7), 7),
        (message(7).replace(b"<107>1 2026-11-23T07:28:00.007Z", b"<13>Nov 23 07:28:00"), 7),
        (message(7) + b"\n", 7),
        (message(7)[:-1], None),
        (message(7) + b".", None),
        (message(7) + b"<108>1 ", None),
        (message(7)[:-20] + message(8), None),
        (b"", None),
    ],
)
def test_the_number_of_a_message_that_is_whole(found: bytes, number: int | None) -> None:
    assert number_of(found) == number


def test_what_is_cut_at_the_end_of_a_connection_is_no_message(tmp_path: Path) -> None:
    frame = b"256 " + message(1)
    (tmp_path / "000000").write_bytes(frame + frame[:100])
    (tmp_path / "000001").write_bytes(frame)
    assert recorded(tmp_path) == [message(1)] * 2


def test_claims_are_read() -> None:
    assert from_impstats(IMPSTATS) == {
        "processed": 4000, "failed": 1, "suspended": 2, "discarded": 7, "queued": 43,
    }  # fmt: skip
    assert from_ctl(CTL) == {"processed": 4000, "written": 3995, "dropped": 0, "queued": 5}
    assert from_metrics(METRICS) == {
        "delivered": 3990, "acked": 3990, "retried": 12, "replayed": 30, "in_doubt": 0,
        "dropped": 7, "held": 3,
    }  # fmt: skip


def test_nothing_is_claimed_before_there_is_anything_to_read() -> None:
    for claims in (from_impstats(""), from_ctl(""), from_metrics("")):
        assert not any(claims.values())


def test_configurations_have_nothing_left_to_fill_in() -> None:
    names = ("configuration", "directory", "sink", "mode", *PORTS)
    for subject in subjects(None):
        template = subject.program.template.read_text().replace("@version:", "")
        assert "@" not in filled(template, dict.fromkeys(names, "1"))


def _told(subject: Subject) -> Outcome:
    mode = subject.values["mode"].replace('"epoch"', '"epoch"\nepoch_max = "500ms"')
    outcome = tell(QUICK, replace(subject, values={"mode": mode}))
    claims = outcome.claims
    assert outcome.verdict.foreign == 0
    assert claims["delivered"] == QUICK.messages
    assert claims["dropped"] == claims["held"] == 0
    # What was sent again the receiver has twice, or has only by that. A burst may have been in hand
    # at the break, and not gone out before.
    unread = 0 if outcome.verdict.lost else QUICK.stopped
    again = claims["retried"] + claims["replayed"]
    assert 0 <= again - (outcome.verdict.duplicated + unread) <= BURST
    return outcome


@pytest.mark.parametrize("subject", relay_modes(), ids=lambda subject: subject.about)
def test_each_mode_keeps_its_word(subject: Subject) -> None:
    """What `sent` and `acked` lose, the receiver's kernel had; the others lose nothing."""
    outcome = _told(subject)
    may_lose = QUICK.stopped if subject.about in ("sent", "acked") else 0
    assert outcome.verdict.lost <= may_lose
    assert subject.about != "sent" or outcome.verdict.lost == QUICK.stopped


def test_tables() -> None:
    rows = [("Relay 1", "sent", "4,000", "500", "0", "delivered 4,000")]
    assert as_markdown(rows).splitlines() == [
        "| program | mode | sent | lost | duplicated | its own counters |",
        "| --- | --- | ---: | ---: | ---: | --- |",
        "| Relay 1 | sent | 4,000 | 500 | 0 | delivered 4,000 |",
    ]
    head, row = as_text(rows).splitlines()
    assert head.index("sent") + len("sent") == row.index("4,000") + len("4,000")
    assert HEADINGS[0] == "program"


def test_json_has_all_that_the_table_has() -> None:
    subject = relay_modes()[0]
    outcome = Outcome(subject, Verdict(4, 1, 2, 0), {"delivered": 4})
    assert as_json(outcome) == {
        "program": "Relay", "version": subject.version, "mode": "sent",
        "sent": 4, "lost": 1, "duplicated": 2, "foreign": 0, "claims": {"delivered": 4},
    }  # fmt: skip


def test_a_program_that_is_not_there() -> None:
    done = CliRunner().invoke(main, ["--only", "nobody"])
    assert done.exit_code == 1
    assert "nothing is called 'nobody'" in done.output
