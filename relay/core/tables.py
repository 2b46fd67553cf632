"""Tables of `match`, as a pipe, `sample` and `rewrite` have them: any of them may match."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, groupby
from typing import Any, NamedTuple

from relay.core.match import Match, Views
from relay.core.pattern import HINT_MAX, compile_hint

# So many tables that each ask for a text are first asked for together: reading a batch for a set of
# texts takes RE2 three times as long as for one.
_TOGETHER_MIN = 4
_TOGETHER_MAX = 100  # bounds what one expression costs in memory; 300 take 1.5 times as long
_FEW = 4


class Tables:
    """Which messages match, decided table by table for those that no earlier one has chosen."""

    def __init__(self, tables: Sequence[Match]) -> None:
        self._tables = tables

    def select(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        """Those of the places that any of the tables matches, in order; all if there is none."""
        if len(self._tables) < 2:
            return self._tables[0].select(views, places) if self._tables else places
        parts: list[Sequence[int]] = []
        for group in self._groups:
            if not places:
                break
            found = list(group.select(views, places))
            parts += found
            places = _without(places, found)
        return parts[0] if len(parts) == 1 else sorted(chain(*parts))

    @cached_property
    def _groups(self) -> Sequence["_Group"]:
        return list(_grouped(self._tables))


class _Group(NamedTuple):
    """Tables that stand one behind the other, and what any message that one matches has in it."""

    tables: Sequence[Match]
    hint: Any  # None: nothing in particular

    def select(self, views: Views, places: Sequence[int]) -> Iterator[Sequence[int]]:
        """What each table chooses of what is left by those before it, where it is anything."""
        places = self._candidates(views, places)
        for table in self.tables:
            if not places:
                break
            if found := table.select(views, places):
                yield found
                places = _without(places, [found])

    def _candidates(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        if self.hint is None:
            return places
        messages, search = views.batch.messages, self.hint.search

        def among(run: Sequence[int]) -> Sequence[int]:
            return run if len(run) > _FEW else [i for i in run if search(messages[i])]

        return views.near(self.hint, places, among)


def _grouped(tables: Sequence[Match]) -> Iterator[_Group]:
    for hinted, group in groupby(tables, lambda table: table.text_hint is not None):
        for part in _parts(list(group)):
            together = hinted and len(part) >= _TOGETHER_MIN
            hint = "|".join(it.text_hint or "" for it in part) if together else None
            yield _Group(part, compile_hint(hint))


def _parts(tables: Sequence[Match]) -> Iterator[Sequence[Match]]:
    """As many at a time as one hint may ask for."""
    part: list[Match] = []
    left = HINT_MAX
    for table in tables:
        size = len(table.text_hint or "")
        if part and (len(part) == _TOGETHER_MAX or size > left):
            yield part
            part, left = [], HINT_MAX
        part.append(table)
        left -= size
    yield part


def _without(places: Sequence[int], found: Iterable[Sequence[int]]) -> Sequence[int]:
    taken = set(chain(*found))
    if len(taken) == len(places):
        return []
    return [place for place in places if place not in taken] if taken else places
