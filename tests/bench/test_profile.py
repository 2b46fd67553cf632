"""The cost account: which stage a sample counts for, and where the stages are."""

import re
from pathlib import Path

import pytest

from tests.bench.profile import counted, lines
from tests.bench.run import Run
from tests.bench.stages import OTHER, STAGES, stage_of

ROOT = Path(__file__).parents[2]

TRIO = "unrolled_run (trio/_core/_run.py:2430)"
READER = "Reader._read (relay/listeners/reader.py:141)"
RUN = Run(sent=10, received=10, sending_seconds=1, seconds=1, cpu_seconds=20e-6)


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        (f"{TRIO};{READER};SocketConnection.receive (relay/system/stream.py:59)", "receive"),
        (f"{TRIO};Transit._send (relay/destinations/transit.py:9);"
         "SocketConnection.send (relay/system/stream.py:69)", "send"),
        (f"{TRIO};{READER};Stream.feed (relay/core/streams.py:88);"
         "Framer._line_run (relay/wire/framing.py:187)", "frame in"),
        (f"{TRIO};{READER}", "the listener's turn"),
        (f"{TRIO};{READER};Intake.put (relay/core/intake.py:80);"
         "Slot.write (relay/spool/page.py:255)", "crash page"),
        ("worker (trio/_threads.py:1);commit_group (relay/spool/group.py:60);"
         "Store.append (relay/spool/store.py:120)", "spool"),
        (f"{TRIO};{READER};checkpoint (trio/_core/_run.py:1)", "Trio"),
        (f"{TRIO};EpollIOManager.get_events (trio/_core/_io_epoll.py:243)", None),
        ("<module> (relay/__main__.py:9)", OTHER),
        ("run (threading.py:1);WorkerThread._work (trio/_core/_thread_cache.py:211)", None),
    ],
)  # fmt: skip
def test_a_sample_counts_for_the_innermost_stage(stack: str, stage: str | None) -> None:
    assert stage_of(stack) == stage


def test_shares_are_scaled_to_the_cost_of_a_message() -> None:
    """Threads that wait cost nothing."""
    samples = (
        f"{TRIO};{READER} 3\n{TRIO} 1\n"
        "run (threading.py:1);Condition.wait (threading.py:327) 100\n"
    )  # fmt: skip
    found = counted(samples)
    assert found == {"the listener's turn": 3, "Trio": 1}
    assert list(lines(found, RUN))[2:] == ["| the listener's turn | 1,500 | 75% |",
                                           "| Trio | 500 | 25% |"]  # fmt: skip


def test_every_stage_is_on_the_map() -> None:
    """docs/architecture.md says of each where it is, in files that exist; Trio is not ours."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("### The stages")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    assert {row[0].removeprefix("| ") for row in rows} == STAGES.keys() - {"Trio"}
    files = [name for row in rows for name in re.findall(r"`(relay/.*?)`", row[1])]
    assert len(files) >= len(rows)
    assert all((ROOT / name).is_file() for name in files)
