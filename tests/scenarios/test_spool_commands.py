"""`relay spool` beside a relay that runs, and on what one has left that was stopped or killed."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, check_metrics, sample, total
from tests.scenarios.harness.messages import in_order, numbered, numbers, split, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected, send_all

CONFIG = """
[relay]
drain_max = "2s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
siem = { type = "tcp", address = "127.0.0.1:@siem@", framing = "lf" }

[pipes.PIPE]
from = ["net", "internal"]
to = "siem"
spool = "always"
memory = "256KiB"
overflow = "block"
match = { not = { contains = "destination siem is" } }
"""
OLD, NEW = CONFIG.replace("PIPE", "old"), CONFIG.replace("PIPE", "new")
ADMIN = '[admin]\nlisten = "127.0.0.1:@admin@"\n'

End = Callable[[RelayProcess], object]


def spool(relay: RelayProcess, *arguments: str, code: int = 0) -> bytes:
    """A subcommand as the operator runs it; what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "relay", "spool", *arguments, "--config", "relay.toml"],
        cwd=relay.directory,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done
    return done.stdout


def listed(relay: RelayProcess) -> dict[str, Any]:
    return {it["pipe"]: it for it in json.loads(spool(relay, "list", "--json"))}


def pipe(books: Books, name: str = "old") -> Books:
    found: Books = books["pipes"][name]
    return found


def fed(prepare: Prepare, count: int, config: str = OLD) -> RelayProcess:
    """A relay whose destination is down, and who has so many messages on disk."""
    relay = prepare(config)
    relay.start()
    send(relay, count)
    relay.until(lambda it: pipe(it)["at_risk"] == 0 and pipe(it)["received"] > count, "durable")
    return relay


def send(relay: RelayProcess, count: int, start: int = 0) -> None:
    send_all(relay.port("net"), [stream(numbered(count, start=start), "lf")])


def arrived(receiver: StreamReceiver) -> list[int]:
    return numbers(receiver.messages).get("a", [])


def test_looking_changes_nothing_for_the_relay_that_runs(prepare: Prepare, tmp_path: Path) -> None:
    """20,000 messages on disk are listed, printed, verified and exported; then they are sent."""
    relay = fed(prepare, 20_000)
    found = listed(relay)["old"]
    assert found["state"] == "in use"
    assert found["held"] == total(pipe(relay.ledger())["held"])
    assert numbers(spool(relay, "cat", "old").splitlines())["a"] == [*range(20_000)]
    assert b"sound" in spool(relay, "verify")
    spool(relay, "export", "old", "out")
    messages, rest = split((tmp_path / "out").read_bytes(), "octet")
    assert [it for it in messages if b"from=a" in it] == numbered(20_000)
    assert rest == b""
    for command in (["purge", "old", "--yes"], ["replay", "old"], ["adopt", "old", "new"]):
        spool(relay, *command, code=1)
    with StreamReceiver(port=relay.port("siem")) as receiver:
        books = relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        receiver.wait_for(b"seq=19999;")
        assert arrived(receiver) == [*range(20_000)]
    assert total(pipe(books)["dropped"]) == 0
    assert pipe(books)["restarts"] == 0


def test_looking_again_and_again_at_a_spool_that_is_written_and_drained(prepare: Prepare) -> None:
    """No damage is ever found that is not there, and what is printed is in order."""
    relay = fed(prepare, 50_000)
    over = threading.Event()
    sent = 50_000

    def sends() -> None:
        nonlocal sent
        with connected(relay.port("net")) as sock:
            while sent < 300_000 and not over.is_set():
                sock.sendall(stream(numbered(2000, start=sent), "lf"))
                sent += 2000

    sender = threading.Thread(target=sends)
    with StreamReceiver(port=relay.port("siem")) as receiver:
        sender.start()
        try:
            for _ in range(4):
                spool(relay, "verify")
                seen = numbers(spool(relay, "cat", "old", "--from", "0").splitlines()).get("a", [])
                assert in_order(seen)
        finally:
            over.set()
            sender.join()
        receiver.wait_for(b"seq=%d;" % (sent - 1))
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        assert arrived(receiver) == [*range(sent)]
    assert "spool" not in relay.log


@pytest.mark.parametrize("end", [RelayProcess.kill, RelayProcess.stop])
def test_what_is_thrown_away_is_not_told_as_lost_in_a_crash(prepare: Prepare, end: End) -> None:
    relay = fed(prepare, 20_000)
    end(relay)
    held = listed(relay)["old"]["held"]
    said = spool(relay, "purge", "old", "--before", "10000", "--yes")
    assert said == b"10000 messages of pipe old thrown away\n"
    said = spool(relay, "purge", "old", "--yes")
    assert said == b"%d messages of pipe old thrown away\n" % (held - 10_000)
    relay.start()
    send(relay, 10)
    with StreamReceiver(port=relay.port("siem")) as receiver:
        books = relay.until(
            lambda it: pipe(it)["received"] > 10 and total(pipe(it)["held"]) == 0, "delivered"
        )
        receiver.wait_for(b"seq=9;")
        assert arrived(receiver) == [*range(10)]
    assert pipe(books)["recovered"] == 0
    assert total(pipe(books)["dropped"]) == 0


def test_the_last_messages_are_delivered_again(prepare: Prepare) -> None:
    """The collector has lost what it had: what of it is still on disk comes again."""
    with StreamReceiver() as receiver:
        relay = prepare(OLD, {"siem": receiver.port})
        relay.start()
        send(relay, 5000)
        receiver.wait_for(b"seq=4999;")
        relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        relay.until(lambda it: pipe(it)["spool"]["bytes"] > 0, "some were written all the same")
        relay.kill()
    assert listed(relay)["old"]["held"] == 0
    said = spool(relay, "replay", "old")
    assert said.endswith(b" messages will be delivered by pipe old at the next start\n")
    again = numbers(spool(relay, "cat", "old").splitlines())["a"]
    assert again == sorted(again), "what was delivered first was not always written"
    with StreamReceiver(port=receiver.port) as receiver:
        relay.start()
        books = relay.until(lambda it: pipe(it)["recovered"], "open")
        receiver.wait_for(b"seq=%d;" % again[-1])
        assert arrived(receiver) == again
        assert pipe(books)["dropped"]["crash"] == 0


@pytest.mark.parametrize("end", [RelayProcess.kill, RelayProcess.stop])
def test_a_pipe_with_another_name_adopts_the_spool(prepare: Prepare, end: End) -> None:
    relay = fed(prepare, 20_000)
    end(relay)
    held = listed(relay)["old"]["held"]
    relay.write(ADMIN + NEW)
    assert listed(relay)["old"]["state"] == "orphan"
    said = spool(relay, "adopt", "old", "new")
    assert said == b"pipe new has the spool of old now, with %d messages\n" % held
    relay.start()
    with StreamReceiver(port=relay.port("siem")) as receiver:
        books = relay.until(lambda it: pipe(it, "new")["recovered"], "open")
        receiver.wait_for(b"seq=19999;")
        assert arrived(receiver) == [*range(20_000)]
    assert pipe(books, "new")["recovered"] == held
    assert pipe(books, "new")["dropped"]["crash"] == 0
    assert "old" not in books["pipes"]


def test_an_orphan_of_an_earlier_process_is_told_counted_and_sent_by_hand(
    prepare: Prepare, tmp_path: Path
) -> None:
    """It is in the stream, in the metrics and in the balance; exported, it goes in as new."""
    relay = fed(prepare, 20_000)
    relay.kill()
    held = listed(relay)["old"]["held"]
    relay.write(ADMIN + NEW)
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.start()
        receiver.wait_for(b"spool of pipe old holds %d messages, and there is no such pipe" % held)
        samples = relay.metrics()
        where = {"pipe": "old", "where": "orphan"}
        assert sample(samples, "relay_pipe_held_messages", **where) == held
        assert sample(samples, "relay_pipe_recovered_total", pipe="old") == held
        check_metrics(samples)
        assert pipe(relay.ledger())["state"] == "orphan"
        spool(relay, "export", "old", "out", "--format", "lf")
        subprocess.run(
            [sys.executable, "-m", "relay", "send", "--tcp", f"127.0.0.1:{relay.port('net')}",
             "--rfc", "raw", "--framing", "octet"],
            input=(tmp_path / "out").read_bytes(), check=True, capture_output=True,
        )  # fmt: skip
        receiver.wait_for(b"seq=19999;")
        assert arrived(receiver) == [*range(20_000)]
    relay.stop()
    spool(relay, "purge", "old", "--yes")
    relay.start()
    assert total(pipe(relay.ledger())["held"]) == 0
    assert relay.log.count("there is no such pipe") == 1


def test_an_orphan_of_an_earlier_process_is_taken_up_at_a_reload(prepare: Prepare) -> None:
    relay = fed(prepare, 20_000)
    relay.kill()
    relay.write(ADMIN + NEW)
    relay.start()
    relay.until(lambda it: "old" in it["pipes"], "the orphan is found")
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.write(ADMIN + OLD)
        relay.reload()
        receiver.wait_for(b"seq=19999;")
        books = relay.until(lambda it: total(pipe(it)["held"]) == 0, "all are delivered")
        assert arrived(receiver) == [*range(20_000)]
    assert total(pipe(books)["dropped"]) == 0
    assert "cannot be read" not in relay.log
