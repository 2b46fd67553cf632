from collections.abc import Sequence

import pytest
import trio
import trio.testing

from relay.core import intake as intake_module
from relay.core.account import Refusal
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.intake import Intake
from relay.core.ledger import Ledger
from relay.core.memory import Memory
from relay.core.pipe import Pipe
from relay.core.router import Router
from relay.wire.timestamp import bsd, rfc3339, zone
from tests.core.parts import RECEIVED_NS, WIDE, check, check_listener, make_host, waiting

STAMPED = b"<38>Oct 11 22:14:15 mymachine su: text"
MESSAGE_MAX = 50


class Rig:
    def __init__(self, bounds: Bounds = WIDE, *, local: bool = False) -> None:
        self.ledger = Ledger()
        self.channel = Channel(self.ledger.pipe("all", "sink"), bounds, Memory(1 << 31))
        self.router = Router(self.ledger, {"net": [Pipe("all", (), self.channel)]})
        self.account = self.ledger.listener("net")
        self.intake = Intake(
            "net", make_host(), self.router, self.account, MESSAGE_MAX, "+02:00", local=local
        )

    def put(self, *messages: bytes, notice: bool = False) -> None:
        octets = sum(map(len, messages))
        self.intake.put(messages, ["192.0.2.1"] * len(messages), octets=octets, notice=notice)

    def held(self) -> list[bytes]:
        return [message for batch in waiting(self.channel) for message in batch.messages]

    def check(self) -> None:
        check_listener(self.account)
        assert self.ledger.residual() == 0
        check(self.channel)


def test_what_was_read_is_booked_and_routed() -> None:
    rig = Rig()
    rig.intake.put([STAMPED, STAMPED], ["192.0.2.1", "local"], octets=99, notice=True)
    rig.check()
    account = rig.account
    assert (account.received, account.accepted, account.received_octets) == (2, 2, 99)
    [batch] = waiting(rig.channel)
    assert list(batch.messages) == [STAMPED, STAMPED]
    assert list(batch.senders) == ["192.0.2.1", "local"]
    assert (batch.listener, batch.received_ns, batch.zone) == ("net", RECEIVED_NS, "+02:00")
    assert batch.notice
    assert account.invalid_headers == account.truncated == 0


@pytest.mark.parametrize(("local", "host"), [(False, b"192.0.2.1"), (True, b"relay.example.net")])
def test_what_a_message_lacks_goes_in_front(local: bool, host: bytes) -> None:
    rig = Rig(local=local)
    rig.put(b"text", STAMPED)
    rig.check()
    assert rig.held() == [b"<13>2026-11-23T07:45:25.000Z %b text" % host, STAMPED]
    assert rig.account.invalid_headers == 1


def test_the_time_of_receipt_takes_the_place_of_the_stamp_where_it_is_wanted() -> None:
    rig = Rig()
    rig.intake.restamp = True
    rig.put(STAMPED, b"<13>x")
    rig.check()
    stamp = rfc3339(RECEIVED_NS)
    assert rig.held() == [b"<38>%b mymachine su: text" % stamp, b"<13>%b 192.0.2.1 x" % stamp]
    assert rig.account.invalid_headers == 1


@pytest.mark.parametrize(("restamp", "local"), [(False, False), (True, False), (False, True)])
def test_clocks_are_compared_by_the_stamps_that_came(restamp: bool, local: bool) -> None:
    """In the listener's zone; programs of this machine have our clock."""
    rig = Rig(local=local)
    rig.intake.restamp = restamp
    moment = bsd(RECEIVED_NS + 90 * 10**9, zone("+02:00"))
    rig.put(b"<13>%b h su: x" % moment)
    skews = rig.account.skews.seconds(RECEIVED_NS)
    assert skews == ({} if local else {"192.0.2.1": pytest.approx(90, abs=1)})


@pytest.mark.parametrize(("local", "priority"), [(False, b"<6>"), (True, b"<14>")])
def test_only_the_network_may_say_kern(local: bool, priority: bytes) -> None:
    rig = Rig(local=local)
    rig.put(STAMPED.replace(b"<38>", b"<6>"))
    assert rig.held() == [STAMPED.replace(b"<38>", priority)]


@pytest.mark.parametrize(
    ("messages", "held"),
    [
        ([b""], []),
        ([b"", b""], []),
        ([STAMPED, b""], [STAMPED]),
        ([b"", STAMPED, b"", STAMPED], [STAMPED, STAMPED]),
        ([], []),
    ],
)
def test_empty_messages_are_refused(messages: list[bytes], held: list[bytes]) -> None:
    rig = Rig()
    rig.put(*messages)
    rig.check()
    assert rig.held() == held
    assert rig.account.received == len(messages)
    assert rig.account.refused[Refusal.EMPTY] == len(messages) - len(held)


def test_senders_stay_beside_their_messages() -> None:
    rig = Rig()
    rig.intake.put([b"", STAMPED, b"", STAMPED], ["1", "2", "3", "4"], octets=0)
    assert [list(batch.senders) for batch in waiting(rig.channel)] == [["2", "4"]]


def test_what_is_too_long_is_cut_between_characters_and_counted() -> None:
    rig = Rig()
    long = STAMPED + b"." * 11 + "ä".encode() * 5  # the limit is inside an ä
    rig.put(STAMPED, long, STAMPED + b"." * (MESSAGE_MAX - len(STAMPED)))
    rig.check()
    cut = STAMPED + b"." * 11
    assert [len(message) for message in rig.held()] == [len(STAMPED), MESSAGE_MAX - 1, MESSAGE_MAX]
    assert rig.held()[1] == cut
    assert rig.account.truncated == 1
    assert rig.account.truncated_octets == len(long) - len(cut)


def test_notices_stay_together() -> None:
    rig = Rig(Bounds(10, 1 << 30))
    rig.put(STAMPED)
    rig.put(*[STAMPED] * 2500, notice=True)
    rig.check()
    assert [len(batch) for batch in waiting(rig.channel)] == [1, 2500]


def test_what_is_refused_was_received() -> None:
    rig = Rig()
    rig.intake.refuse(3, Refusal.BACKLOG)
    rig.check()
    assert rig.account.received == rig.account.refused[Refusal.BACKLOG] == 3


def test_a_bug_on_the_way_leaves_the_book_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    def normalise(messages: Sequence[bytes], *_: object, **__: object) -> object:
        raise ZeroDivisionError

    rig = Rig()
    with monkeypatch.context() as patch:
        patch.setattr(intake_module, "normalise", normalise)
        with pytest.raises(ZeroDivisionError):
            rig.put(STAMPED, b"", STAMPED)
    rig.check()
    assert rig.account.refused[Refusal.INTERNAL_ERROR] == 2
    assert rig.account.refused[Refusal.EMPTY] == 1
    assert rig.account.accepted == 0
    rig.put(STAMPED)
    rig.check()
    assert rig.account.refused[Refusal.INTERNAL_ERROR] == 2


async def test_room_is_that_of_the_pipes_it_feeds(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(Bounds(1, 1 << 30, "block"))
    with trio.testing.assert_no_checkpoints():
        await rig.intake.room()
    rig.put(STAMPED)
    with trio.move_on_after(1) as waiting:
        await rig.intake.room()
    assert waiting.cancelled_caught
