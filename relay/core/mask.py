"""`mask`: secrets and personal data are replaced before anything of a message is kept.

Before the channel: neither memory, nor a spool, nor a destination, nor a dead letter of the pipe
has what was masked. If a mask fails, its message is dropped: see `Changes`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

from relay.core.batch import Batch
from relay.core.keys import Keys
from relay.core.match import Regex, Views
from relay.core.pattern import compile_hint, compile_pattern, hint_of_regex
from relay.wire.priority import priority

_NO_PART = (-1, -1)  # a group of another branch


def _check_regex(regex: str) -> str:
    if compile_pattern(regex).search(b"") is not None:
        raise ValueError(f"{regex!r} matches where there is nothing to mask")
    return regex


def _check_with(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected printable characters, not {text!r}")
    return text


class Mask(Keys):
    """One table of `mask`."""

    regex: Annotated[Regex, AfterValidator(_check_regex)]
    """An RE2 expression on bytes read as Latin-1: its groups are masked; without any, all of it."""
    with_: Annotated[
        str,
        Field(alias="with", min_length=1, max_length=32),
        AfterValidator(_check_with),
    ] = "***"
    """What stands there instead."""


class Masking(NamedTuple):
    """One table, ready to be used."""

    pattern: Any  # the binding has no types
    hint: Any
    instead: bytes

    @classmethod
    def of(cls, keys: Mask) -> "Masking":
        hint = compile_hint(hint_of_regex(keys.regex))
        return cls(compile_pattern(keys.regex), hint, keys.with_.encode())

    def apply(self, views: Views) -> tuple[Batch, int]:
        """The batch with its messages masked, and how many were; the same one if none."""
        batch = views.batch
        places = range(len(batch))
        found = views.near(self.hint, places, partial(self._found, batch.messages))
        if not found:
            return batch, 0
        messages: list[bytes] = list(batch.messages)
        changed = 0
        for place in found:
            before = messages[place]
            messages[place] = after = self.mask(before)
            changed += after != before
        return (batch.with_messages(messages) if changed else batch), changed

    def _found(self, messages: Sequence[bytes], places: Sequence[int]) -> Sequence[int]:
        search = self.pattern.search
        return [place for place in places if search(messages[place])]

    def mask(self, message: bytes) -> bytes:
        """A message without what the expression matches in it, or without what its groups do."""
        _, done = priority(message)
        pieces = [message[:done]]
        for start, end in sorted(self._spans(message)):
            start = max(start, done)  # the PRI stays, and what a group around it has masked
            if start < end:
                pieces += [message[done:start], self.instead]
                done = end
        pieces.append(message[done:])
        return b"".join(pieces)

    def _spans(self, message: bytes) -> Iterator[tuple[int, int]]:
        """Of every match its groups, or all of it where no group takes part in it."""
        for match in self.pattern.finditer(message):
            groups = [match.span(number) for number in range(1, self.pattern.groups + 1)]
            taking_part = [span for span in groups if span != _NO_PART]
            yield from taking_part or [match.span()]
