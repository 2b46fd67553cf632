"""`relay verify`: what a file of received messages proves about the relays they came through."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import click

from relay.cli.table import table
from relay.core.numbering import Range
from relay.core.upstreams import RANGES_MAX, range_text
from relay.wire.framing import Framer, Framing, FramingCounts
from relay.wire.hop import last_passage, upstream_text

READ_OCTETS = 1 << 20
MESSAGE_MAX = 16 << 20  # the longest that a listener can be told to take

_HEAD = ("UPSTREAM", "EPOCH", "MESSAGES", "FIRST", "LAST", "GAPS", "MISSING", "DUPLICATES")


@dataclass(slots=True, eq=False, repr=False)
class _Epoch:
    """The numbers of one upstream in one epoch, as runs in the order of the file."""

    upstream: str
    name: str
    runs: list[Range] = field(default_factory=list)
    missing: list[Range] = field(default_factory=list)
    again: list[Range] = field(default_factory=list)
    follows: bool = True  # its numbers go on where those of the epoch before ended

    @property
    def first(self) -> int:
        return min(first for first, _ in self.runs)

    @property
    def end(self) -> int:
        return max(end for _, end in self.runs)

    def judge(self) -> None:
        """Find what is missing from the lowest number on, and what came again."""
        runs = sorted(self.runs)
        at = runs[0][0]
        for first, end in runs:
            if first > at:
                self.missing.append((at, first))
            elif first < at:
                _append(self.again, first, min(at, end))
            at = max(at, end)


def verify(file: BinaryIO, framing: Framing, *, as_json: bool) -> None:
    """Print what the hop records in a file prove.

    Exits with 1 when something is missing or came again, and when there is no record.
    """
    counts = FramingCounts()
    framer = Framer(framing, MESSAGE_MAX, MESSAGE_MAX, counts)
    epochs: dict[tuple[bytes, bytes], _Epoch] = {}
    stamped = 0
    for messages in _read(file, framer):
        stamped += _note(messages, epochs)
    _judge(epochs.values())
    unstamped = counts.octet + counts.line + counts.nul - stamped
    if as_json:
        click.echo(_json(epochs.values(), stamped, unstamped, counts.incomplete))
    else:
        click.echo("\n".join(_lines(epochs.values(), unstamped, counts.incomplete)))
    if not epochs or any(it.missing or it.again for it in epochs.values()):
        sys.exit(1)


def _read(file: BinaryIO, framer: Framer) -> Iterator[Sequence[bytes]]:
    while data := file.read(READ_OCTETS):
        yield framer.feed(data)
    yield framer.close()


def _note(messages: Iterable[bytes], epochs: dict[tuple[bytes, bytes], _Epoch]) -> int:
    stamped = 0
    for message in messages:
        passage = last_passage(message)
        if passage is None:
            continue
        stamped += 1
        upstream, name, number = passage
        epoch = epochs.get((upstream, name))
        if epoch is None:
            epoch = epochs[upstream, name] = _Epoch(upstream_text(upstream), name.decode())
        _append(epoch.runs, number, number + 1)
    return stamped


def _append(runs: list[Range], first: int, end: int) -> None:
    if runs and runs[-1][1] == first:
        runs[-1] = runs[-1][0], end
    else:
        runs.append((first, end))


def _judge(epochs: Iterable[_Epoch]) -> None:
    ends: dict[str, int] = {}
    for epoch in epochs:
        before = ends.get(epoch.upstream)
        epoch.follows = before is None or epoch.first == before
        epoch.judge()
        ends[epoch.upstream] = epoch.end


def _lines(epochs: Iterable[_Epoch], unstamped: int, incomplete: int) -> Iterator[str]:
    rows = [
        (
            it.upstream, it.name, str(sum(end - first for first, end in it.runs)), str(it.first),
            str(it.end - 1), str(len(it.missing)), str(_sum(it.missing)), str(_sum(it.again)),
        )
        for it in epochs
    ]  # fmt: skip
    if rows:
        yield table(_HEAD, 2, rows)
    for epoch in epochs:
        if not epoch.follows:
            yield (
                f"{epoch.upstream}: numbers begin anew in epoch {epoch.name}: "
                "what was lost before is not known"
            )
        for what, ranges in (("missing", epoch.missing), ("received again", epoch.again)):
            if ranges:
                yield f"{epoch.upstream}: {what} {_sum(ranges)}: {_ranges_text(ranges)}"
    if unstamped:
        yield f"{unstamped} messages without a hop record"
    if incomplete:
        yield f"{incomplete} messages cut off by the end of the file"
    if not rows:
        yield "no message has a hop record: this proves nothing"


def _ranges_text(ranges: Sequence[Range]) -> str:
    text = ", ".join(map(range_text, ranges[:RANGES_MAX]))
    rest = ranges[RANGES_MAX:]
    return f"{text} and {_sum(rest)} more in {len(rest)} others" if rest else text


def _json(epochs: Iterable[_Epoch], stamped: int, unstamped: int, incomplete: int) -> str:
    """Ranges have both their ends in them."""
    found = {
        "stamped": stamped,
        "unstamped": unstamped,
        "incomplete": incomplete,
        "epochs": [
            {
                "upstream": it.upstream,
                "epoch": it.name,
                "follows": it.follows,
                "messages": sum(end - first for first, end in it.runs),
                "first": it.first,
                "last": it.end - 1,
                "missing": [[first, end - 1] for first, end in it.missing],
                "duplicates": [[first, end - 1] for first, end in it.again],
            }
            for it in epochs
        ],
    }
    return json.dumps(found, indent=2)


def _sum(ranges: Iterable[Range]) -> int:
    return sum(end - first for first, end in ranges)
