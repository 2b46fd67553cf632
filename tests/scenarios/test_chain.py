"""rsyslog omrelp → Relay → rsyslog imrelp, and each of them goes away in turn, again and again.

RELAY_CHAIN_MESSAGES says how many messages travel; 100,000 are before a release.
"""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice, pairwise
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import in_order, numbered
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.rsyslog import MISSING, RECEIVER, WINDOW, Rsyslog
from tests.scenarios.harness.waiting import until

MESSAGES = int(os.environ.get("RELAY_CHAIN_MESSAGES", "20000"))
TURN = 2000  # messages from one going away to the next

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

# omrelp holds in memory what has no answer, whatever its queue is, and loses it when it is killed.
# So it reads a file, of which it remembers only at a clean end how far it was: after a kill it
# sends all again since the last one.
SENDER = """
global(workDirectory="{directory}")
main_queue(queue.type="Direct")
module(load="imfile")
module(load="omrelp")
input(type="imfile" file="{directory}/in.log" tag="in" freshStartTail="off")
template(name="line" type="string" string="%msg%")
action(type="omrelp" target="127.0.0.1" port="{target}" windowSize="128" timeout="5"
       template="line" action.resumeRetryCount="-1" action.resumeInterval="1")
"""
RELAY = """
[listeners.net]
type = "relp"
listen = ["127.0.0.1:@net@"]

[destinations.next]
type = "relp"
address = "127.0.0.1:@next@"
window = 128

[pipes.forward]
from = "net"
to = "next"
spool = "always"
"""

Party = Rsyslog | RelayProcess


@contextmanager
def chain(
    prepare: Prepare, directory: Path, relays: int
) -> Iterator[tuple[Rsyslog, Sequence[RelayProcess], Rsyslog]]:
    """All of them up; the relays are given in the order in which messages pass them."""
    with Rsyslog(directory / "receiver", RECEIVER) as receiver:
        chained: list[RelayProcess] = []
        port = receiver.port
        for number in range(relays):
            place = directory / f"relay{number}"
            place.mkdir()
            relay = prepare(RELAY, {"next": port}, directory=place)
            relay.start()
            chained.insert(0, relay)
            port = relay.port("net")
        with Rsyslog(directory / "sender", SENDER, target=port, port=0) as sender:
            yield sender, chained, receiver


@pytest.mark.parametrize("relays", [1, 2])
def test_whoever_is_stopped_or_killed_nothing_is_missing(
    relays: int, prepare: Prepare, tmp_path: Path
) -> None:
    """Each is stopped and killed under load, at a random moment, and started again.

    At the end the receiver has every message, in order, none that nobody has sent, and no more of
    them twice than were on their way, or were read again by the sender.
    """
    moments = random.Random(relays)
    messages = numbered(MESSAGES)
    with chain(prepare, tmp_path, relays) as (sender, chained, receiver):
        parties: list[Party] = [sender, *chained, receiver]
        turns = list(islice(cycle(_turns(parties)), MESSAGES // TURN))
        assert len(turns) >= 2 * len(parties)
        for turn, (party, way) in enumerate(turns):
            start = turn * TURN
            _append(tmp_path / "sender" / "in.log", messages[start : start + TURN])
            moment = start + int(moments.random() * TURN)
            until(partial(_has_come, receiver, moment), "messages come")
            _go_away(party, way)
            party.start()
        until(lambda: set(receiver.numbers()) == set(range(MESSAGES)), "all messages come")
        for relay in chained:
            _check_at_rest(relay)
        lines, found = receiver.lines(), receiver.numbers()
    assert set(lines) == set(messages)
    assert in_order(list(dict.fromkeys(found)))
    _check_repeated(found, turns, sender)


def _turns(parties: Sequence[Party]) -> Iterator[tuple[Party, str]]:
    """Each is killed and stopped, and no two neighbours the same way after each other."""
    for offset in (0, 1):
        for place, party in enumerate(parties):
            yield party, ("kill", "stop")[(place + offset) % 2]


def _append(path: Path, messages: Sequence[bytes]) -> None:
    with path.open("ab") as file:
        file.write(b"".join([message + b"\n" for message in messages]))


def _has_come(receiver: Rsyslog, number: int) -> bool:
    return receiver.last() >= number


def _go_away(party: Party, way: str) -> None:
    if way == "kill":
        party.kill()
    else:
        assert party.stop() == 0


def _check_at_rest(relay: RelayProcess) -> None:
    books = relay.until(lambda it: not total(it["pipes"]["forward"]["held"]), "all is confirmed")
    pipe = books["pipes"]["forward"]
    assert not total(pipe["dropped"])
    assert relay.stop() == 0


def _check_repeated(
    found: Sequence[int], turns: Sequence[tuple[Party, str]], sender: Rsyslog
) -> None:
    """After each turn two windows at most come again, and what a killed sender has read again."""
    steps_back = [before - after + 1 for before, after in pairwise(found) if after <= before]
    read_again = [step for step in steps_back if step > 2 * WINDOW]
    assert len(read_again) <= turns.count((sender, "kill"))
    repeated = len(found) - len(set(found))
    print(f"{repeated} came again, {sum(read_again)} of them read again by the sender")
    assert repeated <= sum(read_again) + 2 * WINDOW * len(turns)
