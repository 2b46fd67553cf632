"""Seeds by the hundred: every promise holds in each, and together they have seen it all."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

from tests.simulation.faults import FAULTS
from tests.simulation.messages import encoded, identify, make, whole
from tests.simulation.story import run_seed

SEEDS = int(os.environ.get("RELAY_SEEDS", "1000"))
# The gate has the same seeds at each run, so that what fails is the change. Before a release there
# are fresh ones, RELAY_SEEDS_FROM=$RANDOM0000, and as many as there is time for.
FIRST = int(os.environ.get("RELAY_SEEDS_FROM", "0"))
ENOUGH_SEEDS = 400  # for the rarest state to be reached

# What has to happen in some seed, or the simulation does not test what it seems to.
REACHED = {
    "a peer is found dead",
    "connect not answered",
    "connect refused",
    "datagram lost",
    "datagram refused",
    "datagram too large",
    "dead letters",
    "disk full",
    "disk says EIO",
    "a disk that opens late begins an epoch",
    "dropped: crash",
    "dropped: expired",
    "dropped: full",
    "dropped: oldest",
    "dropped: rate",
    "dropped: removed",
    "dropped: sampled",
    "dropped: shed",
    "dropped: shutdown",
    "epochs",
    "in doubt",
    "killed with messages held",
    "left on disk at an end",
    "lost beyond confirmation",
    "name does not resolve",
    "no room for a datagram",
    "peer closes with unread octets",
    "peer resets",
    "power cut with messages held",
    "recovered",
    "relp peer answers 500",
    "relp sender's session breaks",
    "replayed",
    "retried",
    "sender waits for the relay",
    "short write",
    "the next hop gets messages again",
    "the next hop misses messages",
    "the numbers begin anew",
    "sync fails",
}


def test_seeds_keep_every_promise() -> None:
    """What fails is printed with its seed; `python -m tests.simulation --seed N` replays it."""
    command = [
        sys.executable, "-m", "tests.simulation", "--from", str(FIRST), "--seeds", str(SEEDS),
    ]  # fmt: skip
    root = Path(__file__).parent.parent.parent
    run = subprocess.run(
        command, cwd=root, env=os.environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    reached = {name for _, name in re.findall(r"^ +(\d+) (.+)$", run.stdout, re.MULTILINE)}
    if SEEDS >= ENOUGH_SEEDS:
        expected = REACHED | {f"fault: {name}" for name in FAULTS}
        assert expected <= reached, expected - reached


def test_without_faults_all_is_delivered_and_nothing_dropped_twice() -> None:
    for seed in range(10):
        outcome = run_seed(seed, ["reload"])
        assert outcome.sent


def test_a_message_says_who_it_is_and_whether_it_is_whole() -> None:
    message = make("s1.0", 7, random.Random(1))
    assert identify(message) == ("s1.0", 7)
    assert identify(message.replace(b"x", b"y", 1)) is None or b"x" not in message
    assert identify(message[:-1]) is None
    assert identify(b"<13>something else") is None


def test_the_oracle_reads_frames_however_they_end() -> None:
    texts = [b"<13>a b", b"<13>c"]
    for framing in ("octet", "lf"):
        stream = b"".join(encoded(text, framing) for text in texts)
        assert whole(stream, framing)[0] == texts
        assert whole(stream[:-1], framing)[0] == texts[:1]
        assert whole(stream, framing)[1][-1] == len(stream)
    relp = b"1 open 3 a=b\n2 syslog 7 <13>a b\n3 syslog 5 <13>c\n4 close 0\n"
    assert whole(relp, "relp")[0] == texts
