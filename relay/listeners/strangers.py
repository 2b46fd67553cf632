"""Connections that a reload has left, and that may not stay."""

import logging
from collections.abc import Sequence

from relay.core.intake import Intake
from relay.core.streams import Handshake, Stream
from relay.listeners.limits import Limits

log = logging.getLogger("relay.listener")


def strangers(intake: Intake, limits: Limits) -> Sequence[Stream]:
    """Those to be ended: their senders are allowed no more, or were let in by another `tls`.

    Of these whoever has not proved who it is is closed here.
    """
    streams = intake.streams
    for handshake in list(streams.handshakes.values()):
        if not _is_allowed(handshake, limits) or handshake.tls != limits.tls:
            streams.finish(handshake)
            handshake.connection.close()
            intake.account.connections_open -= 1
    here = [it for it in streams.table.values() if it.ended_at is None]
    forbidden = [it for it in here if not _is_allowed(it, limits)]
    other = [it for it in here if it.tls != limits.tls and _is_allowed(it, limits)]
    if forbidden:
        log.warning("listener %s ends %d connections that are no longer allowed",
                    intake.listener, len(forbidden))  # fmt: skip
    if other:
        log.warning("listener %s ends %d connections, for its tls has changed",
                    intake.listener, len(other))  # fmt: skip
    return [*forbidden, *other]


def _is_allowed(it: Stream | Handshake, limits: Limits) -> bool:
    return limits.allowed is None or it.connection.peer in limits.allowed
