"""`sample`: of what a table matches one message in so many is kept. Counted, not drawn by lot."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from relay.core.keys import Keys
from relay.core.match import Match, Views
from relay.core.tables import Tables
from relay.core.values import listed, or_one


class Sample(Keys):
    """One table of `sample`."""

    one_in: Annotated[int, Field(ge=2, le=1_000_000, strict=True)]
    """Of so many messages the first is kept, the others are dropped as `sampled`."""
    match: Annotated[
        tuple[Match, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)
    ] = ()
    """Which messages, as in a pipe's `match`; default: all. The first table that matches counts."""


class Sampling:
    """What the tables have counted. The same messages in the same order give the same choice."""

    def __init__(self, tables: Sequence[Sample]) -> None:
        self._tables = [(table.one_in, Tables(table.match)) for table in tables]
        self._seen = [0] * len(tables)  # messages that each has matched

    def keep(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        """Those of the places that are kept, in order."""
        dropped: set[int] = set()
        rest = places
        for number, (one_in, match) in enumerate(self._tables):
            matched = match.select(views, rest)
            seen = self._seen[number]
            first = -seen % one_in  # the next to be kept
            dropped.update(matched)
            dropped.difference_update(matched[first::one_in])
            self._seen[number] = (seen + len(matched)) % one_in
            if len(matched) == len(rest):
                break
            taken = set(matched)
            rest = [place for place in rest if place not in taken]
        return [place for place in places if place not in dropped] if dropped else places
