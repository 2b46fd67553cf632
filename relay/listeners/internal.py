"""Relay's own messages: loss notices, and what it logs from INFO up."""

import logging
import os
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import trio
from trio_typing import TaskStatus

from relay.core.account import Refusal
from relay.core.component import ListenerKeys
from relay.core.intake import Intake
from relay.core.own import OwnMessage
from relay.system.ports import Endpoint, Socket
from relay.wire.escape import escape_text
from relay.wire.timestamp import rfc3339

log = logging.getLogger("relay.listener")

SYSLOG = 5 << 3  # facility syslog: messages that a syslogd writes itself, RFC 5424 section 6.2.1


class InternalListener(ListenerKeys):
    """The keys of the `internal` listener."""

    type: Literal["internal"]

    @property
    def local(self) -> bool:
        return True

    def endpoints(self) -> Sequence[Endpoint]:
        return ()

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Put own messages as they come. Never waits for room: Relay must not wait for itself."""
        task_status.started()
        with trio.CancelScope() as receiving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_receive, intake)
                await intake.draining.wait()
                receiving.cancel()
        put_own(intake)


async def _receive(intake: Intake) -> None:
    while True:
        await intake.own.arrival()
        put_own(intake)
        await trio.lowlevel.checkpoint()


def put_own(intake: Intake) -> None:
    """Put what is waiting; notices of loss and other messages never share a batch."""
    initial = intake.own.initial
    waiting, overflowed = intake.own.take()
    if overflowed:
        intake.refuse(overflowed, Refusal.BACKLOG)
    if overflowed and initial:
        lost = "1 message" if overflowed == 1 else f"{overflowed} messages"
        log.warning("dropped %s during initialization", lost, extra={"notice": True})
    for notice, group in groupby(waiting, key=lambda message: message.notice):
        messages = [_render(message, intake) for message in group]
        octets = sum(map(len, messages))
        intake.put(messages, ["local"] * len(messages), octets=octets, notice=notice)


def _render(message: OwnMessage, intake: Intake) -> bytes:
    """RFC 5424 section 6."""
    stamp = rfc3339(message.at_ns or intake.host.clock.wall_ns())
    text = escape_text([message.text.encode("utf-8", "backslashreplace")])[0]
    header = b"<%d>1 %b %b relay %d - - " % (
        SYSLOG | message.severity, stamp, intake.host.name.encode(), os.getpid(),
    )  # fmt: skip
    return header + text
