"""The internal listener: Relay's own messages on their way into the pipes."""

import re

import pytest

from relay.core.account import Refusal
from relay.core.own import BACKLOG_MESSAGES, OwnMessage
from relay.listeners.internal import InternalListener
from relay.supervisor.tell import own_messages
from tests.core.parts import waiting
from tests.listeners.conftest import Rig

INTERNAL = InternalListener(type="internal")


async def test_own_messages_carry_facility_syslog_and_their_severity(rig: Rig) -> None:
    rig.own.wanted = True
    async with rig.running(INTERNAL):
        rig.own.add(OwnMessage(4, "dropped 3 messages to destination siem: full", notice=True))
        await rig.texts(1)
    (message,) = rig.held()
    assert re.fullmatch(
        rb"<44>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z relay\.example\.net relay \d+ - - "
        rb"dropped 3 messages to destination siem: full",
        message,
    )


async def test_notices_and_other_messages_keep_their_order_in_batches_of_their_own(
    rig: Rig,
) -> None:
    rig.own.wanted = True
    async with rig.running(INTERNAL):
        for text, notice in (("a", False), ("b", False), ("n", True), ("c", False)):
            rig.own.add(OwnMessage(6, text, notice))
        assert await rig.texts(4) == [b"a", b"b", b"n", b"c"]
        assert [batch.notice for batch in waiting(rig.channel)] == [False, True, False]


async def test_what_finds_the_book_full_is_refused_and_counted(rig: Rig) -> None:
    rig.own.wanted = True
    for number in range(BACKLOG_MESSAGES + 7):
        rig.own.add(OwnMessage(6, str(number), notice=False))
    async with rig.running(INTERNAL):
        await rig.texts(BACKLOG_MESSAGES)
    assert rig.account.refused[Refusal.BACKLOG] == 7
    assert rig.account.received == BACKLOG_MESSAGES + 7


async def test_control_characters_in_a_text_of_ours_stay_in_one_line(rig: Rig) -> None:
    rig.own.wanted = True
    async with rig.running(INTERNAL):
        rig.own.add(OwnMessage(3, "two\nlines", notice=False))
        await rig.texts(1)
    assert rig.held()[0].endswith(b"two#012lines")


async def test_the_stop_puts_what_is_waiting(rig: Rig) -> None:
    rig.own.wanted = True
    async with rig.running(INTERNAL):
        rig.own.add(OwnMessage(6, "last", notice=False))
    assert rig.held()[0].endswith(b" last")


@pytest.mark.parametrize(("beyond", "noun"), [(3, "messages"), (1, "message")])
async def test_what_was_too_much_before_the_pipes_were_there_is_told(
    beyond: int, noun: str, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """The first thousand are in the stream, the rest is counted, and told once."""
    for n in range(BACKLOG_MESSAGES + beyond):
        rig.own.add(OwnMessage(3, str(n), notice=False))
    with own_messages(rig.own):
        async with rig.running(INTERNAL):
            texts = await rig.texts(BACKLOG_MESSAGES + 1)
        told = f"dropped {beyond} {noun} during initialization"
        assert caplog.messages == [told]
    assert texts == [b"%d" % n for n in range(BACKLOG_MESSAGES)] + [b"initialization"]
    assert rig.held()[-1].startswith(b"<44>1 ")
    assert rig.held()[-1].endswith(told.encode())
    assert rig.account.refused[Refusal.BACKLOG] == beyond


async def test_a_message_bears_the_time_at_which_it_was_said(rig: Rig) -> None:
    rig.own.add(OwnMessage(3, "early", notice=False, at_ns=1_790_000_000 * 10**9))
    async with rig.running(INTERNAL):
        await rig.texts(1)
    assert rig.held()[0].startswith(b"<43>1 2026-09-21T14:13:20.000Z ")
