"""Who sends: the busiest senders of each listener, and those that are expected."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay.admin.metric import Metric, Sample, by_listener
from relay.admin.state import Admin
from relay.core.account import ListenerAccount
from relay.core.expected import Watched
from relay.core.senders import TALKERS_MAX, Talker
from relay.supervisor.state import Relay

TOP = 20  # of each listener, as series and where nothing else is asked for

View = dict[str, Any]


def senders(relay: Relay, top: int = TOP) -> Mapping[str, View]:
    """By listener, of one moment."""
    now = relay.now()
    return {
        account.name: {
            "known": len(account.senders),
            "known_max": TALKERS_MAX,
            "error_max": round(account.senders.total / TALKERS_MAX, 1),
            "senders": _talkers(account, top, now),
            "expected": [
                _watched(it, now) for it in account.senders.expected.names.values()
            ],
        }
        for account in relay.ledger.listeners.values()
    }  # fmt: skip


def _talkers(account: ListenerAccount, top: int, now: float) -> list[View]:
    skews = account.skews.seconds(time.time_ns())
    return [_talker(it, skews.get(it.name), now) for it in account.senders.top(top)]


def _talker(talker: Talker, skew: float | None, now: float) -> View:
    return {
        "sender": talker.name,
        "messages": talker.messages,
        "weight": round(talker.weight, 1),
        "error": round(talker.error, 1),
        "rate": round(talker.rate, 3),
        "last_seen_seconds": round(now - talker.last, 3),
        "known_seconds": round(now - talker.since, 3),
        "dialect": talker.dialect,
        "skew_seconds": None if skew is None else round(skew, 3),
    }


def _watched(watched: Watched, now: float) -> View:
    return {
        "sender": watched.name,
        "silent": watched.silent,
        "heard": watched.heard,
        "silence_seconds": round(now - watched.heard_at, 3),
    }


def _rates(admin: Admin) -> Iterator[Sample]:
    for account in admin.relay.ledger.listeners.values():
        for talker in account.senders.top(TOP):
            yield (account.name, talker.name), talker.rate


def _silent(admin: Admin) -> Iterator[Sample]:
    for account in admin.relay.ledger.listeners.values():
        for watched in account.senders.expected.names.values():
            yield (account.name, watched.name), watched.silent


def _silence(admin: Admin) -> Iterator[Sample]:
    for account in admin.relay.ledger.listeners.values():
        for watched in account.senders.expected.names.values():
            yield (account.name, watched.name), admin.relay.now() - watched.heard_at


SENDERS: Sequence[Metric] = (
    Metric("relay_sender_messages_per_second", "gauge",
           f"Messages a second in the last minute, of the {TOP} busiest senders of a listener.",
           ("listener", "sender"), _rates),
    by_listener("senders_known", "gauge",
                "Senders that are counted one by one.", lambda it: len(it.senders)),
    Metric("relay_sender_silent", "gauge",
           "1 while an expected sender has not been heard for silent_after.",
           ("listener", "sender"), _silent),
    Metric("relay_sender_silence_seconds", "gauge",
           "Time since an expected sender was heard, or since it began to be expected.",
           ("listener", "sender"), _silence),
)  # fmt: skip
