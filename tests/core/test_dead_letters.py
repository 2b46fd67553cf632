"""What a destination refuses goes on as a letter, and the books of both pipes balance."""

import logging
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.dead_letters import DeadLetters
from relay.core.delivery import POISON_FAILURES, Poison
from relay.core.ledger import Ledger
from relay.core.memory import Memory
from relay.core.pipe import Pipe
from relay.core.receipt import Receipt
from relay.core.router import Router
from tests.core.parts import WIDE, check, contents, make_batch, make_host, numbered, waiting

HEAD = b"<44>1 2026-11-23T07:45:25.000Z relay.example.net relay - dead-letter - "


class Rig:
    """A pipe, the pipe for its letters, and the router that feeds the first."""

    def __init__(self, bounds: Bounds = WIDE) -> None:
        self.ledger = Ledger()
        memory = Memory(1 << 31)
        self.channel = Channel(self.ledger.pipe("local", "agent"), WIDE, memory)
        self.letters = Channel(self.ledger.pipe("local.dead-letter", "file"), bounds, memory)
        self.use(Pipe("local.dead-letter", (), self.letters))
        self.router = Router(self.ledger, {"net": [Pipe("local", (), self.channel)]})

    def use(self, pipe: Pipe) -> None:
        self.channel.dead_letters = DeadLetters(pipe, "agent", make_host())

    async def refuse(
        self, batch: Batch, messages: int, reason: Drop = Drop.TOO_LARGE, why: str = ""
    ) -> None:
        self.router.put(batch)
        with self.channel.lease() as lease:
            await lease.lend()
            lease.refuse(messages, reason, why)
            self.check()
            lease.settle(lease.lent, Confirmation.SENT)
        self.check()

    def check(self) -> None:
        assert self.ledger.residual() == 0
        check(self.channel)
        assert self.letters.account.residual() == 0

    def written(self) -> list[bytes]:
        return [message for batch in waiting(self.letters) for message in batch.messages]


async def test_a_refused_message_goes_on_with_the_reason() -> None:
    rig = Rig()
    await rig.refuse(make_batch(b"<13>one", b"two"), 1, why="a datagram of 7 octets")
    assert rig.written() == [
        HEAD + b'pipe=local destination=agent reason=too-large why="a datagram of 7 octets" '
        b"received=2026-11-23T07:45:25.000Z sender=192.0.2.1 message=<13>one"
    ]
    account = rig.channel.account
    assert (account.dropped[Drop.TOO_LARGE], account.dead_letters) == (1, 1)
    assert account.delivered[Confirmation.SENT] == 1
    assert rig.letters.account.received == 1
    assert rig.ledger.losses.due(0) == []


@pytest.mark.parametrize(
    "message",
    [b"", b"a\nb\0c", b"\xff\xfe", b' message=x "y" \\', bytes(range(256)), b"x" * 70_000],
)
async def test_the_message_stands_behind_unchanged(message: bytes) -> None:
    rig = Rig()
    await rig.refuse(make_batch(message), 1, why=' message="')
    assert rig.written()[0].split(b"sender=192.0.2.1 message=", 1)[1] == message


@pytest.mark.parametrize(
    ("why", "quoted"),
    [
        ("", b'""'),
        ('a "b" \\c', rb'"a \"b\" \\c"'),
        ("two\nlines", b'"two#012lines"'),
        ("naïve", '"naïve"'.encode()),
        ("\udcff", rb'"\udcff"'),
    ],
)
async def test_why_is_quoted_on_one_line(why: str, quoted: bytes) -> None:
    rig = Rig()
    await rig.refuse(make_batch(b"x"), 1, Drop.REFUSED, why)
    assert b" reason=refused why=" + quoted + b" received=" in rig.written()[0]


async def test_a_letter_that_is_dropped_is_the_loss_that_is_told() -> None:
    rig = Rig(Bounds(1, 1 << 30))
    rig.letters.put(numbered(0, 1))
    rig.ledger.listener("net").offered += 1
    await rig.refuse(numbered(0, 3), 3)
    assert rig.letters.account.dropped[Drop.FULL] == 3
    assert rig.ledger.losses.due(0) == ["dropped 3 messages to destination file: full"]


async def test_a_pipe_of_letters_that_has_ended_books_them() -> None:
    rig = Rig()
    rig.letters.closing = Drop.REMOVED
    rig.letters.close()
    await rig.refuse(numbered(0, 2), 2)
    assert rig.letters.account.dropped[Drop.REMOVED] == 2


async def test_a_notice_of_loss_stays_one_and_is_counted_once() -> None:
    rig = Rig()
    await rig.refuse(numbered(0, 1, notice=True), 1)
    assert [batch.notice for batch in waiting(rig.letters)] == [True]
    assert rig.channel.account.notices_dropped == 0


async def test_a_refused_letter_makes_no_letter() -> None:
    rig = Rig()
    await rig.refuse(numbered(0, 2), 2)
    with rig.letters.lease() as lease:
        await lease.lend()
        lease.refuse(2, Drop.REFUSED, "for ever")
    rig.check()
    assert rig.letters.account.dropped[Drop.REFUSED] == 2
    assert rig.ledger.losses.due(0) == ["dropped 2 messages to destination file: refused"]


async def test_a_poisonous_message_goes_on() -> None:
    rig = Rig()
    rig.router.put(numbered(0, 2))
    poison = Poison()
    for _ in range(POISON_FAILURES):
        with rig.channel.lease() as lease:
            await lease.lend()
        poison.failed(rig.channel)
    rig.check()
    assert contents(rig.channel) == [1]
    assert b"reason=internal-error" in rig.written()[0]


async def test_what_is_sent_again_to_be_sure_makes_no_letter() -> None:
    rig = Rig()
    rig.router.put(numbered(0, 2))
    with rig.channel.lease() as lease:
        lease.keep(1 << 10)
        await lease.lend()
        lease.settle(2, Confirmation.ACKED)
        lease.replay()
    with rig.channel.lease() as lease:
        await lease.lend()
        lease.refuse(2, Drop.REFUSED)
    rig.check()
    assert rig.written() == []


async def test_the_sender_is_told_yes_when_the_letter_is_safe() -> None:
    rig = Rig(Bounds(1 << 20, 1 << 30, "block"))
    told: list[str] = []
    receipt = Receipt(lambda: told.append("yes"), lambda: told.append("broken"))
    rig.channel.bound(Bounds(1 << 20, 1 << 30, "block"))
    batch = make_batch(b"x", receipt=receipt)
    rig.router.put(batch)
    receipt.pay()  # the listener
    with rig.channel.lease() as lease:
        await lease.lend()
        lease.refuse(1, Drop.TOO_LARGE)
    assert told == []
    with rig.letters.lease() as lease:
        await lease.lend()
        lease.settle(1, Confirmation.STORED)
    assert told == ["yes"]
    rig.check()


async def test_a_receipt_that_is_paid_already_is_not_owed_again() -> None:
    rig = Rig(Bounds(1 << 20, 1 << 30, "block"))
    told: list[str] = []
    receipt = Receipt(lambda: told.append("yes"), lambda: told.append("broken"))
    rig.router.put(make_batch(b"x", receipt=receipt))
    receipt.pay()  # the listener; the first pipe keeps nothing
    assert told == ["yes"]
    with rig.channel.lease() as lease:
        await lease.lend()
        lease.refuse(1, Drop.TOO_LARGE)
    rig.check()
    assert len(rig.written()) == 1


class Faulty(Pipe):
    def put(self, batch: Batch, views: object, *, full: bool | None = None) -> Sequence[int] | None:
        raise ZeroDivisionError


async def test_a_bug_in_the_pipe_of_the_letters_is_booked_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.use(Faulty("local.dead-letter", (), rig.letters))
    with caplog.at_level(logging.CRITICAL):
        await rig.refuse(numbered(0, 2), 1)
    assert rig.letters.account.dropped[Drop.INTERNAL_ERROR] == 1
    assert rig.channel.is_empty


async def test_a_letter_wakes_the_delivery_of_its_pipe() -> None:
    rig = Rig()
    with trio.fail_after(5), rig.letters.lease() as lease:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.lend)
            await trio.testing.wait_all_tasks_blocked()
            await rig.refuse(numbered(0, 1), 1)
        assert rig.letters.held().lent == 1
