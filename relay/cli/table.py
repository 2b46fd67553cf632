"""The ledger as a table for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from relay.wire.escape import printable

View = Mapping[str, Any]

_PIPES = (
    "PIPE", "TO", "STATE", "RECEIVED", "RECOVERED", "FILTERED", "DELIVERED", "DROPPED", "HELD",
    "RETRIED", "RESIDUAL",
)  # fmt: skip
_LISTENERS = (
    "LISTENER", "STATE", "RECEIVED", "ACCEPTED", "REFUSED", "OFFERED", "UNROUTED", "KERNEL DROPS",
    "TRUNCATED", "CONNECTIONS", "RESIDUAL",
)  # fmt: skip


def ledger_text(answer: bytes) -> str:
    """The table of a `/ledger` answer; a residual that is not 0 is marked."""
    books = json.loads(answer)
    pipes, listeners = books["pipes"].values(), books["listeners"].values()
    parts = [
        table(_PIPES, 3, [_pipe(pipe) for pipe in pipes]),
        table(_LISTENERS, 2, [_listener(listener) for listener in listeners]),
        "\n".join(_remarks(books)),
    ]
    return "\n\n".join(part for part in parts if part)


def _pipe(pipe: View) -> Sequence[str]:
    return [
        pipe["name"],
        pipe["destination"],
        pipe["state"],
        str(pipe["received"]),
        str(pipe["recovered"]),
        str(pipe["filtered"]),
        str(sum(pipe["delivered"].values())),
        str(sum(pipe["dropped"].values())),
        str(sum(pipe["held"].values())),
        str(pipe["retried"]),
        _marked(pipe["residual"]),
    ]


def _listener(listener: View) -> Sequence[str]:
    return [
        listener["name"],
        listener["state"],
        str(listener["received"]),
        str(listener["accepted"]),
        str(sum(listener["refused"].values())),
        str(listener["offered"]),
        str(listener["unrouted"]),
        str(listener["kernel_dropped"]),
        str(listener["truncated"]),
        str(listener["connections"]["open"]),
        _marked(listener["residual"]),
    ]


def _remarks(books: View) -> list[str]:
    remarks = []
    for pipe in books["pipes"].values():
        for what in ("delivered", "dropped"):
            numbers = [f"{number} {name}" for name, number in pipe[what].items() if number]
            if numbers:
                remarks.append(f"pipe {pipe['name']}: {what} {', '.join(numbers)}")
        if pipe["dead_letters"]:
            name, letters = pipe["name"], pipe["dead_letters"]
            remarks.append(f"pipe {name}: handed {letters} of these over to {name}.dead-letter")
        if pipe["down_reason"] and pipe["state"] == "down":
            remarks.append(f"pipe {pipe['name']}: down: {pipe['down_reason']}")
        for name, it in pipe["destinations"].items():
            goes = "active" if it["active"] else "waits"
            why = f": {it['down_reason']}" if it["down_reason"] else ""
            where = f" ({it['address']})" if it["address"] else ""
            remarks.append(f"pipe {pipe['name']}: {name}{where}: {goes}, {it['state']}{why}")
    for listener in books["listeners"].values():
        numbers = [f"{number} {name}" for name, number in listener["refused"].items() if number]
        if numbers:
            remarks.append(f"listener {listener['name']}: refused {', '.join(numbers)}")
    totals = books["totals"]
    balanced = totals["residual"] == 0
    remarks.append(totals["identity"] + ("" if balanced else f" !{totals['residual']}"))
    return remarks


def _marked(residual: int) -> str:
    return f"!{residual}" if residual else "0"


def table(head: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as needed; the first `words` to the left, numbers to the right."""
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
