"""What a TCP destination knows of what it has sent: receivers that stop, die, end or vanish.

Every receiver is a process of its own, and what it has read is on disk, message by message.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, sample, total
from tests.scenarios.harness.link import impossible, linked
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.recorder import Recorder
from tests.scenarios.harness.senders import send_all
from tests.scenarios.harness.waiting import until

MESSAGES = 4000
BEFORE = 1000

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.siem]
type = "tcp"
address = "@host@:@siem@"
@keys@

[pipes.forward]
from = "net"
to = "siem"
"""

MODES = {
    "sent": 'confirm = "sent"',
    "acked": 'confirm = "acked"\nreplay = 0',
    "acked and replay": 'confirm = "acked"',
    "epoch": 'confirm = "epoch"\nepoch_bytes = "64KiB"\nepoch_max = "200ms"',
}


def forward(prepare: Prepare, receiver: Recorder, keys: str) -> RelayProcess:
    relay = prepare(CONFIG, {"host": receiver.host, "siem": receiver.port, "keys": keys})
    relay.start()
    return relay


def send(relay: RelayProcess, start: int, end: int) -> None:
    send_all(relay.port("net"), [stream(numbered(end - start, start=start), "octet")])


def copies(receiver: Recorder) -> Mapping[int, int]:
    """How often each numbered message was read, its text unchanged."""
    assert set(receiver.messages) <= set(numbered(MESSAGES))
    return Counter(numbers(receiver.messages).get("a", ()))


def settled(relay: RelayProcess) -> int:
    """How many messages the relay has done all it can for, once that number stands still."""
    seen = -1

    def rests() -> bool:
        nonlocal seen
        before, seen = seen, total(relay.ledger()["pipes"]["forward"]["delivered"])
        return before == seen

    until(rests, "nothing more is delivered")
    return seen


def everything(books: Books) -> bool:
    pipe: Books = books["pipes"]["forward"]
    return pipe["received"] == MESSAGES and not total(pipe["held"])


@pytest.mark.parametrize("mode", MODES)
def test_a_receiver_is_stopped_killed_and_started_again(
    mode: str, prepare: Prepare, tmp_path: Path
) -> None:
    """4,000 numbered messages; for the last 3,000 of them the receiver stands still until it dies.

    What its kernel had taken and it had not read is lost with it, where nothing is sent again.
    """
    with Recorder(tmp_path / "siem") as receiver:
        relay = forward(prepare, receiver, MODES[mode])
        send(relay, 0, BEFORE)
        receiver.wait_messages(BEFORE)
        receiver.pause()
        send(relay, BEFORE, MESSAGES)
        relay.until(lambda books: books["pipes"]["forward"]["received"] == MESSAGES, "all is in")
        settled(relay)
        receiver.kill()
        receiver.start()
        books = relay.until(everything, "all is delivered")
        if mode == "sent":
            settled(relay)
        assert relay.stop() == 0
        found = copies(receiver)
    pipe = books["pipes"]["forward"]
    lost = MESSAGES - len(found)
    twice = sum(found.values()) - len(found)
    assert pipe["failures"] >= 1
    if mode == "sent":
        assert lost
        assert pipe["in_doubt"] >= lost
    elif mode == "acked":
        assert lost == pipe["in_doubt"] - BEFORE
        assert twice == 0
    elif mode == "acked and replay":
        assert lost == 0
        assert 0 < twice <= pipe["replayed"]
        assert pipe["in_doubt"] + pipe["replayed"] >= twice
        assert pipe["delivered"]["acked"] == MESSAGES
    else:
        assert lost == 0
        assert twice <= pipe["retried"]
        assert pipe["epochs"] > 1
        assert pipe["delivered"]["confirmed"] == MESSAGES


@pytest.mark.skipif(impossible() != "", reason=impossible())
@pytest.mark.parametrize("mode", ["acked and replay", "epoch"])
def test_the_link_to_the_receiver_is_cut(mode: str, prepare: Prepare, tmp_path: Path) -> None:
    """Neither side hears of it. The peer is dead after `dead_after`, and was never called stalled.

    What was on its way is sent again when the link is back, though the old connection still stands
    at the receiver.
    """
    with (
        linked() as link,
        Recorder(tmp_path / "siem", host=link.far, launcher=link.launcher) as receiver,
    ):
        # An epoch that lasts until the link is cut, by size and by time: the next one would find no
        # route at all.
        keys = MODES[mode].replace("64KiB", "1MiB").replace("200ms", "4s")
        relay = forward(prepare, receiver, keys + '\ndead_after = "2s"')
        send(relay, 0, BEFORE)
        receiver.wait_messages(BEFORE)
        link.cut()
        send(relay, BEFORE, MESSAGES)
        stalls = 0

        def is_down(books: Books) -> bool:
            nonlocal stalls
            pipe: Books = books["pipes"]["forward"]
            stalls += pipe["state"] == "stalled"
            return bool(pipe["failures"])

        books = relay.until(is_down, "the peer is dead")
        reason = "peer is dead: its kernel has not answered for 2 s"
        assert f"destination siem is down: {reason}" in relay.log
        assert not stalls
        link.mend()
        books = relay.until(everything, "all is delivered")
        assert relay.stop() == 0
        assert len(copies(receiver)) == MESSAGES
    pipe = books["pipes"]["forward"]
    assert (pipe["replayed"] > 0) == (mode == "acked and replay")
    assert pipe["in_doubt"] == 0


def test_a_receiver_that_never_reads_is_stalled_until_it_does(
    prepare: Prepare, tmp_path: Path
) -> None:
    """Its kernel answers for it. It is shown, waited for, and not cut."""
    with Recorder(tmp_path / "siem") as receiver:
        relay = forward(prepare, receiver, MODES["acked"] + '\ndead_after = "1s"')
        send(relay, 0, BEFORE)
        receiver.wait_messages(BEFORE)
        receiver.pause()
        send(relay, BEFORE, MESSAGES)
        relay.until(lambda books: books["pipes"]["forward"]["state"] == "stalled", "a stall")
        stalled = "relay_destination_stalled"
        assert sample(relay.metrics(), stalled, pipe="forward") == 1
        receiver.resume()
        books = relay.until(everything, "all is delivered")
        assert sample(relay.metrics(), stalled, pipe="forward") == 0
        assert relay.stop() == 0
        assert list(copies(receiver).values()) == [1] * MESSAGES
    assert books["pipes"]["forward"]["failures"] == 0
