"""A pipe with a spool: nothing accepted is lost, whatever happens to the relay or the disk.

RELAY_BACKLOG_MESSAGES says how many messages wait for a receiver; a million are before a release.
"""

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import in_order, numbered, numbers, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import send_all
from tests.scenarios.harness.waiting import until

BACKLOG = int(os.environ.get("RELAY_BACKLOG_MESSAGES", "100000"))
PART = 10_000
BACKLOG_OCTETS_MAX = 8 << 20  # of memory more than without one, the messages in memory included
TURN = 4000  # messages from one kill to the next
IN_HAND = 1100  # messages: one batch of 256 KiB, and a few of the relay's own

CONFIG = """
[relay]
drain_max = "2s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
siem = { type = "tcp", address = "127.0.0.1:@siem@", framing = "lf" }

[pipes.to-siem]
from = "*"
to = "siem"
spool = "always"
memory = "256KiB"
overflow = "block"
"""


def pipe(books: Books) -> Books:
    found: Books = books["pipes"]["to-siem"]
    return found


def send(relay: RelayProcess, count: int, start: int = 0) -> None:
    send_all(relay.port("net"), [stream(numbered(count, start=start), "lf")])


def arrived(receiver: StreamReceiver) -> list[int]:
    return numbers(receiver.messages)["a"]


def test_a_backlog_waits_on_disk_and_comes_in_order_when_the_receiver_does(
    prepare: Prepare,
) -> None:
    """All of them come while the receiver is down: memory stays small, and all arrive in order."""
    relay = prepare(CONFIG)
    relay.start()
    before = 0
    for start in range(0, BACKLOG, PART):
        send(relay, PART, start=start)  # over a connection of its own
        relay.until(partial(_has_received, start + PART), "this part is received")
        before = before or relay.resident_octets
    held = pipe(relay.ledger())["held"]
    assert held["spool"] > BACKLOG * 9 // 10
    assert held["memory"] + held["lent"] + held["spool"] == BACKLOG
    relay.until(lambda it: pipe(it)["at_risk"] == 0, "all are durable")
    with_backlog = relay.resident_octets
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        receiver.wait_for(b"seq=%d;" % (BACKLOG - 1))
        assert arrived(receiver) == [*range(BACKLOG)]
        assert total(pipe(relay.ledger())["dropped"]) == 0
    drained = relay.resident_octets
    print(f"resident: {before >> 10} KiB, {with_backlog >> 10}, drained {drained >> 10}")
    assert max(with_backlog, drained) - before < BACKLOG_OCTETS_MAX
    assert relay.stop() == 0


def _has_received(count: int, books: Books) -> bool:
    received: int = pipe(books)["received"]
    return received == count


def test_a_clean_stop_leaves_what_is_held_to_the_next_process(prepare: Prepare) -> None:
    relay = prepare(CONFIG)
    relay.start()
    send(relay, 20_000)
    relay.until(lambda it: pipe(it)["received"] == 20_000, "all are received")
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < 1.5, "a dead destination is not waited for"
    relay.start()
    books = relay.until(lambda it: pipe(it)["recovered"], "the spool is open")
    assert pipe(books)["recovered"] == 20_000
    assert total(pipe(books)["dropped"]) == 0
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        receiver.wait_for(b"seq=19999;")
        assert arrived(receiver) == [*range(20_000)]


@pytest.mark.parametrize("kills", [8])
def test_killed_at_any_moment_what_was_durable_is_delivered_and_the_rest_counted(
    prepare: Prepare, kills: int
) -> None:
    """The receiver gets what was durable, and lacks no more than the books and the senders know.

    What was read and not yet put when the relay was killed was never accepted: a batch in hand.
    """
    with StreamReceiver() as receiver:
        relay = prepare(CONFIG, {"siem": receiver.port})
        durable: set[int] = set()
        unknown = 0  # lost as the books say, or not accepted when they were last looked at
        relay.start()
        for turn in range(kills):
            send(relay, TURN, start=TURN * turn)
            time.sleep(0.01 * turn)
            before = pipe(relay.ledger())
            relay.kill()
            durable |= {TURN * turn + n for n in range(before["received"] - before["at_risk"])}
            relay.start()
            books = relay.until(lambda it: pipe(it)["state"] == "up", "the pipe is up")
            dropped = pipe(books)["dropped"]
            assert total(dropped) == dropped["crash"]
            unknown += dropped["crash"] + TURN - before["received"] + IN_HAND
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        found = set(arrived(receiver))
        assert durable <= found
        assert TURN * kills - len(found) <= unknown
        assert len(durable) > TURN
        assert relay.stop() == 0


def test_a_full_disk_is_survived_and_accounted_and_goes_on_when_there_is_room(
    prepare: Prepare, tmp_path: Path
) -> None:
    """The spool is on a file system of 2 MiB: what does not fit is dropped and counted."""
    mount = tmp_path / "state" / "spool"
    mount.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        relay = prepare(CONFIG.replace('"block"', '"drop-newest"'))
        relay.start()
        for turn in range(30):
            send_all(relay.port("net"), [stream(numbered(4000, f"s{turn}"), "lf")])
        books = relay.until(lambda it: pipe(it)["received"] == 120_000, "all are received")
        assert pipe(books)["dropped"]["full"] > 0
        with StreamReceiver(port=relay.port("siem")) as receiver:
            relay.until(lambda it: total(pipe(it)["held"]) == 0, "all that is held is delivered")
            send(relay, 100, start=120_000)
            relay.until(lambda it: pipe(it)["received"] == 120_100, "the last are received")
            relay.until(lambda it: total(pipe(it)["held"]) == 0, "all is delivered")
            receiver.wait_for(b"from=a seq=120099;")
            found = numbers(receiver.messages)
        assert all(in_order(each) for each in found.values())
        assert found["a"] == [*range(120_000, 120_100)]
        dropped = total(pipe(relay.ledger())["dropped"])
        assert sum(map(len, found.values())) + dropped == 120_100
        assert relay.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


def test_overflow_uses_the_disk_only_when_memory_is_full(prepare: Prepare) -> None:
    relay = prepare(CONFIG.replace('"always"', '"overflow"'))
    relay.start()
    send(relay, 100)
    books = relay.until(lambda it: pipe(it)["received"] == 100, "received")
    assert pipe(books)["at_risk"] == 100
    assert not list((relay.directory / "state" / "spool" / "to-siem").glob("*.seg"))
    send(relay, 20_000, start=100)
    relay.until(lambda it: pipe(it)["at_risk"] == 0, "all is durable")
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all is delivered")
        receiver.wait_for(b"seq=20099;")
        assert arrived(receiver) == [*range(20_100)]
    assert relay.stop() == 0


def test_a_spool_that_is_switched_off_drains_first(prepare: Prepare) -> None:
    relay = prepare(CONFIG)
    relay.start()
    send(relay, 20_000)
    relay.until(lambda it: pipe(it)["at_risk"] == 0 and pipe(it)["received"] == 20_000, "durable")
    admin = '[admin]\nlisten = "127.0.0.1:@admin@"\n'
    relay.write(admin + CONFIG.replace('"always"', '"never"'))
    relay.reload()
    send(relay, 100, start=20_000)
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.until(lambda it: pipe(it)["received"] == 20_100, "received")
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all is delivered")
        receiver.wait_for(b"seq=20099;")
        assert arrived(receiver) == [*range(20_100)]
        send(relay, 100, start=20_100)
        receiver.wait_for(b"seq=20199;")
    relay.write(admin + CONFIG)
    relay.reload()
    send(relay, 50, start=20_200)
    relay.until(lambda it: pipe(it)["at_risk"] == 0 and total(pipe(it)["held"]) >= 50, "durable")
    relay.kill()
    relay.start()
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.until(lambda it: pipe(it)["recovered"], "open")
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all is delivered")
        assert set(range(20_200, 20_250)) <= set(arrived(receiver))


def test_a_removed_pipe_leaves_its_spool_behind_and_gets_it_back(prepare: Prepare) -> None:
    relay = prepare(CONFIG.replace('"2s"', '"500ms"'))
    relay.start()
    send(relay, 1000)
    relay.until(lambda it: pipe(it)["at_risk"] == 0 and pipe(it)["received"] == 1000, "durable")
    admin = '[admin]\nlisten = "127.0.0.1:@admin@"\n'
    other = '[destinations.ring]\ntype = "memory"\n[pipes.ring]\nfrom = "*"\nto = "ring"\n'
    relay.write(admin + CONFIG[: CONFIG.index("[pipes.to-siem]")] + other)
    relay.reload()
    books = relay.until(lambda it: pipe(it)["state"] == "orphan", "removed")
    assert pipe(books)["held"]["orphan"] == 1000
    relay.write(admin + CONFIG)
    relay.reload()
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all is delivered")
        receiver.wait_for(b"seq=999;")
        assert arrived(receiver) == [*range(1000)]
    relay.signal(signal.SIGTERM)
    assert relay.wait() == 0


def test_a_spool_that_another_process_has_does_not_stop_the_pipe(
    prepare: Prepare, tmp_path: Path
) -> None:
    """Two relays on one state directory: the second runs from memory and says why."""
    with StreamReceiver() as receiver:
        first = prepare(CONFIG)
        first.start()
        until((tmp_path / "state/spool/to-siem/cursor").exists, "the first has its spool")
        (tmp_path / "second").mkdir()
        second = prepare(CONFIG.replace("[relay]", '[relay]\nstate_dir = "../state"'),
                         {"siem": receiver.port}, directory=tmp_path / "second")  # fmt: skip
        second.start()
        send(second, 100)
        receiver.wait_for(b"seq=99;")
        until(lambda: "spool of pipe to-siem fails" in second.log, "the second says why")
        assert "crash page cannot be opened" in second.log
