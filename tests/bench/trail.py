"""When messages were sent, and when they came: how long each was on its way."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Trail = Sequence[tuple[int, float]]  # how many, up to when; both rise

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


def latencies_ms(sent: Trail, came: Trail, octets_each: int) -> Sequence[float]:
    """At each of `PERCENTILES`: milliseconds from the call that sent a message to its last octet.

    `sent` counts messages, `came` octets. Without either there is nothing to tell.
    """
    if not (sent and came):
        return ()
    seconds = sorted(_seconds(sent, came, octets_each))
    last = len(seconds) - 1
    return [1000 * seconds[round(last * percent / 100)] for percent in PERCENTILES]


def _seconds(sent: Trail, came: Trail, octets_each: int) -> Iterator[float]:
    """Of each message, as all travel in their order."""
    counts = [octets for octets, _ in came]
    first = 0
    for stop, at in sent:
        for number in range(first, stop):
            place = bisect_left(counts, (number + 1) * octets_each)
            if place == len(came):
                return  # lost: the report says so
            yield came[place][1] - at
        first = stop
