"""All messages of a batch in one piece, to look in all of them with one call.

A call of RE2 costs 0.5 µs. What it reads costs 0.02 µs for 256 octets when it looks for one text,
and 0.3 for a set of texts or an expression. So what is in no message of a batch, which is most of
what rules look for, is found absent for little more than that (`python -m tests.bench.rules`).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate, count
from operator import add
from typing import Any, Protocol

# Below so many messages joining them and searching costs more than looking at each.
_MESSAGES_MIN = 4
# What is left of a batch is looked at one by one when it is less than one part in so many.
_PART_MIN = 2
_RUN = 4  # messages that are looked at one by one where something is found, at first
_LEAP = 16  # messages that are searched at once behind that, at first
_READ_MAX = 2  # times that what finds read may be as long as the batch


def worth_joining(messages: int, places: int) -> bool:
    """Whether to ask for so many of a batch of so many messages all at once."""
    return messages >= _MESSAGES_MIN and places * _PART_MIN >= messages


class Hint(Protocol):
    """A compiled pattern of RE2."""

    def search(self, text: bytes, pos: int = ..., endpos: int = ...) -> Any: ...  # noqa: ANN401


class Joined:
    """The messages of a batch with LF between them, for as long as the batch is being routed."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._messages = messages

    def select(
        self,
        hint: Hint,
        places: Sequence[int],
        among: Callable[[Sequence[int]], Sequence[int]],
    ) -> Sequence[int]:
        """`among(places)`, asked only for places near which the hint is found.

        The hint must be found in every message that `among` chooses, and in many messages with LF
        between them where it is in one.
        """
        if len(places) == len(self._messages):
            return self._select(hint, among)
        wanted = set(places)
        return self._select(hint, lambda run: among([place for place in run if place in wanted]))

    def _select(self, hint: Hint, among: Callable[[Sequence[int]], Sequence[int]]) -> Sequence[int]:
        """Where there is much to find, this costs little more than `among` for all of them.

        Behind a find a run of messages is looked at one by one, four times as many where finds are
        close; then the search goes on in leaps, eight times as far each time in vain. A hint may
        read far beyond where its find begins, and RE2 reads that twice: when all finds together
        have read too much, what is left is looked at one by one.
        """
        search, text = hint.search, self._text
        found = search(text)
        if found is None:
            return []
        starts, messages = self._starts, len(self._messages)
        chosen: list[int] = []
        done, run, read = 0, _RUN, 0
        while found is not None:
            read += found.end() - starts[done]
            if read > _READ_MAX * len(text):
                return [*chosen, *among(range(done, messages))]
            at = bisect_right(starts, found.start()) - 1
            run = 4 * run if at - done < run else _RUN
            done = min(at + run, messages)
            chosen += among(range(at, done))
            found = self._next(search, done)
        return chosen

    def _next(self, search: Callable[[bytes, int, int], Any], at: int) -> Any:  # noqa: ANN401
        """What is found first from the message at this place on."""
        starts, messages, leap = self._starts, len(self._messages), _LEAP
        while at < messages:
            stop = min(at + leap, messages)
            if found := search(self._text, starts[at], starts[stop] - 1):
                return found
            at, leap = stop, 8 * leap
        return None

    @cached_property
    def _text(self) -> bytes:
        return b"\n".join(self._messages)

    @cached_property
    def _starts(self) -> Sequence[int]:
        """Where each message starts, and where one behind the last would."""
        octets = accumulate(map(len, self._messages), initial=0)
        return list(map(add, octets, count()))  # half of what a generator takes
