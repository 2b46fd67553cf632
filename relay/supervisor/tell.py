"""Telling losses: into the log, and from there into the pipes as messages of our own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from relay.core.own import OwnMessage, OwnMessages
from relay.supervisor.state import Relay

log = logging.getLogger("relay.losses")
senders_log = logging.getLogger("relay.senders")
upstreams_log = logging.getLogger("relay.upstreams")

WARNING = 4  # the severity of a notice, as OpenBSD's syslogd has it; RFC 5424 section 6.2.1
SEVERITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
LOOK_SECONDS = 1.0


async def tell_losses(relay: Relay) -> None:
    """Tell the first drop of an episode at once, then go on as `Losses.due` says."""
    news = trio.lowlevel.ParkingLot()
    relay.ledger.losses.on_news = news.unpark_all
    while True:
        if not relay.ledger.losses.pending:
            await news.park()
        for text in relay.ledger.losses.due(relay.now()):
            log.error(text, extra={"notice": True})
        with trio.move_on_after(LOOK_SECONDS):
            await news.park()


async def tell_upstreams(relay: Relay) -> None:
    """Tell what is missing of other relays' messages, and what came again."""
    while True:
        await trio.sleep(LOOK_SECONDS)
        for text in relay.ledger.upstreams.due(relay.now()):
            upstreams_log.warning(text)


async def tell_senders(relay: Relay) -> None:
    """Tell which expected senders are silent, and which speak again; keep rates up to date."""
    while True:
        await trio.sleep(LOOK_SECONDS)
        for account in list(relay.ledger.listeners.values()):
            account.senders.tick(relay.now())
            for text in account.senders.expected.told(relay.now()):
                senders_log.warning("listener %s: %s", account.name, text)


def tell_rest(relay: Relay) -> None:
    """Tell all that is untold, because the relay stops."""
    for text in relay.ledger.upstreams.rest(relay.now()):
        upstreams_log.warning(text)
    relay.refresh()
    for text in relay.ledger.losses.rest(relay.now()):
        log.error(text, extra={"notice": True})


@contextmanager
def own_messages(own: OwnMessages) -> Iterator[None]:
    """What is logged inside becomes messages of our own, once even if it is entered twice."""
    logger = logging.getLogger("relay")
    known = any(isinstance(it, OwnHandler) and it.own is own for it in logger.handlers)
    handler = OwnHandler(own)
    if not known:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class OwnHandler(logging.Handler):
    """Turns what is logged from INFO up into messages of our own."""

    def __init__(self, own: OwnMessages) -> None:
        super().__init__(logging.INFO)
        self.own = own

    def emit(self, record: logging.LogRecord) -> None:
        notice = bool(getattr(record, "notice", False))
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        severity = WARNING if notice else SEVERITIES.get(record.levelno, 6)
        self.own.add(OwnMessage(severity, text, notice, self.own.wall_ns()))
