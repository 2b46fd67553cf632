"""Moments in the notation of people, and what a stamp means."""

from datetime import UTC, datetime, timedelta, tzinfo

from hypothesis import strategies as st

from relay.wire.notation import parse_stamp
from relay.wire.timestamp import zone

NS = 10**9
DAY_NS = 86400 * NS
BERLIN = zone("Europe/Berlin")


def ns(text: str) -> int:
    """Of a moment in ISO notation; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1000


RECEIVED = ns("2026-11-23T07:28:45")
MOMENTS = st.integers(ns("1971-01-01"), ns("2500-01-01"))


def read(text: bytes, received: int = RECEIVED, at: tzinfo = UTC) -> int:
    found = parse_stamp(text)
    assert found is not None
    assert found[1] == len(found[0].text)
    return found[0].to_ns(received, at)
