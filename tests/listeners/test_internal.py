"""The internal listener: Relay's own messages on their way into the pipes."""

import re

from relay.core.account import Refusal
from relay.core.own import BACKLOG_MESSAGES, OwnMessage
from relay.listeners.internal import InternalListener
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
