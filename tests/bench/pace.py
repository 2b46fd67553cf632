"""When a paced generator sends."""

import time
from collections.abc import Callable

Send = Callable[[int, int], None]  # the messages from the first number up to the second

BEHIND_SECONDS_MAX = 0.02


def pace(messages: int, rate: int, burst: int, send: Send) -> None:
    """Call `send(start, stop)` with the messages that have become due, until all are sent.

    Who falls behind catches up, but never on more than 20 ms: a larger burst would be another load.
    What is missed beyond that shows as a lower rate.
    """
    started = time.monotonic()  # moves when time is given up
    sent = 0
    while sent < messages:
        now = time.monotonic()
        started = max(started, now - BEHIND_SECONDS_MAX - sent / rate)
        due = min(messages, int((now - started) * rate))
        if due > sent:
            send(sent, due)
            sent = due
        ahead = started + min(messages, sent + burst) / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
