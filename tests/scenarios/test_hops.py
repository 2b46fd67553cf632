"""Two relays in a chain: the second proves what became of the messages of the first.

What is taken out, sent twice, or lost between the two by a restart or a `kill -9` is made by hand,
and known here by numbers of the test's own; the second relay, and `relay verify` on what it stored,
say exactly that.
"""

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.wire.hop import last_passage
from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import sample
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receiving import ReceivingProcess
from tests.scenarios.harness.waiting import until

FIRST = """
[relay]
name = "edge01"
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]
[destinations.hub]
type = "tcp"
address = "127.0.0.1:@hub@"
stamp = true
[pipes.hub]
from = "net"
to = "hub"
spool = "@spool@"
"""
SECOND = """
[relay]
name = "hub"
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]
hop = true
[destinations.all]
type = "file"
path = "@directory@/all.log"
[pipes.all]
from = "net"
to = "all"
"""
UPSTREAM = "edge01/hub"


def hub(prepare: Prepare, directory: Path) -> RelayProcess:
    place = directory / "hub"
    place.mkdir()
    return prepare(SECOND, directory=place)


def send(relay: RelayProcess, messages: Sequence[bytes]) -> None:
    with socket.create_connection((HOST, relay.port("net"))) as sock:
        sock.sendall(stream(messages, "octet"))


def stored(relay: RelayProcess) -> list[bytes]:
    path = relay.directory / "all.log"
    return path.read_bytes().splitlines() if path.exists() else []


def hops(relay: RelayProcess) -> dict[str, float]:
    samples = relay.metrics()
    names = ("received", "gaps", "missing", "duplicates", "late", "renumbered")
    return {it: sample(samples, f"relay_hop_{it}_total", upstream=UPSTREAM) for it in names}


def verify(relay: RelayProcess) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "relay", "verify", "--json", str(relay.directory / "all.log")]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, json.loads(done.stdout)


def own(relay: RelayProcess) -> list[int]:
    """The test's numbers. The pipe's are the same: it has nothing else, and begins at 0."""
    return numbers(stored(relay)).get("a", [])


def padded(count: int, start: int) -> list[bytes]:
    """More than the kernel of the second takes while it stands still."""
    return [message + b" " + b"x" * 2000 for message in numbered(count, start=start)]


def told(missing: Sequence[int]) -> str:
    """The line about one range."""
    assert list(missing) == list(range(missing[0], missing[-1] + 1))
    return ranges(f"missing {len(missing)} messages: {missing[0]} to {missing[-1]}")


def ranges(text: str) -> str:
    return f"upstream {UPSTREAM}: {text}"


def test_what_is_taken_out_and_sent_twice_by_hand_is_told_exactly(
    prepare: Prepare, tmp_path: Path
) -> None:
    (tmp_path / "edge").mkdir()
    with ReceivingProcess(tmp_path / "wire") as wire:
        edge = prepare(FIRST, {"hub": wire.port, "spool": "never"}, directory=tmp_path / "edge")
        edge.start()
        send(edge, numbered(1000))
        wire.wait_for(1000)
        stamped = list(wire.messages)
        edge.stop()
    assert [it.number for it in map(last_passage, stamped) if it] == list(range(1000))
    second = hub(prepare, tmp_path)
    second.start()
    send(second, stamped[:100] + stamped[107:500] + stamped[501:])
    until(lambda: len(stored(second)) == 992, "the first pass")
    send(second, stamped[10:12])
    until(lambda: hops(second)["gaps"], "the holes are given up")
    assert hops(second) == {
        "received": 994, "gaps": 2, "missing": 8, "duplicates": 2, "late": 0, "renumbered": 0,
    }  # fmt: skip
    send(second, stamped[104:105])
    until(lambda: hops(second)["late"], "one comes late")
    second.stop()
    assert ranges("missing 8 messages: 100 to 106, 500") in second.log
    assert ranges("received again 2 messages: 10 to 11") in second.log
    code, found = verify(second)
    assert code == 1
    (epoch,) = found["epochs"]
    assert epoch["missing"] == [[100, 103], [105, 106], [500, 500]]
    assert epoch["duplicates"] == [[10, 11]]


@pytest.mark.parametrize("spool", ["never", "always"])
def test_a_restart_and_a_kill_in_between_are_told_exactly(  # noqa: PLR0915 - a story
    prepare: Prepare, tmp_path: Path, spool: str
) -> None:
    """While the second stands still the first is killed: what it held is lost, or sent again."""
    second = hub(prepare, tmp_path)
    second.start()
    (tmp_path / "edge").mkdir()
    values = {"hub": second.port("net"), "spool": spool}
    first = prepare(FIRST, values, directory=tmp_path / "edge")
    first.start()
    send(first, numbered(500))
    until(lambda: len(stored(second)) == 500, "the messages before")
    first.stop()
    first.start()
    send(first, numbered(500, start=500))
    until(lambda: len(stored(second)) == 1000, "those after the restart")
    assert (hops(second)["gaps"], hops(second)["duplicates"]) == (0, 0)
    second.pause()
    send(first, padded(8000, start=1000))
    first.until(lambda books: books["listeners"]["net"]["accepted"] == 8500, "all are taken")
    if spool == "always":
        first.until(lambda books: not books["pipes"]["hub"]["at_risk"], "all is on disk")
    first.kill()
    second.resume()
    first.start()
    send(first, numbered(500, start=9000))
    until(lambda: 9499 in own(second)[-600:], "the last ones")
    came = Counter(own(second))
    missing = [number for number in range(9500) if number not in came]
    again = sum(times - 1 for times in came.values())
    until(lambda: hops(second)["missing"] == len(missing), "the gap is told")
    seen = hops(second)
    assert (seen["received"], seen["duplicates"]) == (sum(came.values()), again)
    assert (seen["late"], seen["renumbered"]) == (0, 0)
    if spool == "always":
        assert not missing
        assert again, "what the kernel of the second had, and had not said so to the first"
    else:
        assert missing
        assert first.ledger()["pipes"]["hub"]["dropped"]["crash"] >= len(missing)
        assert told(missing) in second.log
    code, found = verify(second)
    assert code == 1
    (epoch,) = found["epochs"]
    assert [it for low, high in epoch["missing"] for it in range(low, high + 1)] == missing
    assert sum(high - low + 1 for low, high in epoch["duplicates"]) == again
