"""`relay senders`: who sends, as a table for people."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from relay.cli.table import table

View = Mapping[str, Any]

_SENDERS = (
    "LISTENER", "SENDER", "DIALECT", "RATE", "MESSAGES", "WEIGHT", "LAST SEEN", "SKEW",
)  # fmt: skip
_EXPECTED = ("LISTENER", "EXPECTED", "STATE", "LAST HEARD")


def senders_text(answer: bytes) -> str:
    """The tables of a `/senders` answer."""
    listeners: Mapping[str, View] = json.loads(answer)
    parts = [
        table(_SENDERS, 3, list(_talkers(listeners))),
        _expected_text(listeners),
        "\n".join(_remarks(listeners)),
    ]
    return "\n\n".join(part for part in parts if part)


def _talkers(listeners: Mapping[str, View]) -> Iterator[tuple[str, ...]]:
    for name, listener in listeners.items():
        for it in listener["senders"]:
            error = f" -{it['error']:.0f}" if it["error"] >= 1 else ""
            skew = it["skew_seconds"]
            yield (
                name, it["sender"], it["dialect"], f"{it['rate']:.1f}/s", str(it["messages"]),
                f"{it['weight']:.0f}{error}", _age(it["last_seen_seconds"]),
                "-" if skew is None else f"{skew:+.1f} s",
            )  # fmt: skip


def _expected_text(listeners: Mapping[str, View]) -> str:
    rows = [
        (
            name, it["sender"], "silent" if it["silent"] else "heard" if it["heard"] else "awaited",
            _age(it["silence_seconds"]) if it["heard"] else "never",
        )
        for name, listener in listeners.items()
        for it in listener["expected"]
    ]  # fmt: skip
    return table(_EXPECTED, 3, rows) if rows else ""


def _remarks(listeners: Mapping[str, View]) -> Iterator[str]:
    for name, listener in listeners.items():
        if listener["known"] >= listener["known_max"]:
            yield (
                f"listener {name}: more senders than the {listener['known_max']} that are counted: "
                f"a weight is too high by {listener['error_max']:.0f} at most"
            )


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"
