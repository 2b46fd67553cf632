"""`shed`: when a pipe fills up, what matters less is dropped, so that the rest finds room."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationInfo, field_validator

from relay.core.keys import Keys
from relay.core.match import Severity, Views
from relay.core.memory import cost

if TYPE_CHECKING:
    from relay.core.channel import Channel

Share = Annotated[float, Field(ge=0.01, le=1)]


class Shed(Keys):
    """The table `shed`."""

    below: Severity
    """What is less severe than this is dropped, as `shed`."""
    at: Share = 0.8
    """How full the pipe is when shedding begins: 1 is where `overflow` begins."""
    until: Share | None = None
    """How full it is when shedding ends; default: three quarters of `at`."""

    @field_validator("until")
    @classmethod
    def _check_until(cls, until: float | None, info: ValidationInfo) -> float | None:
        at = info.data.get("at", 1)  # absent when it is wrong itself
        if until is not None and until >= at:
            raise ValueError(f"{until:g} is not less than at, which is {at:g}")
        return until


@dataclass(slots=True, eq=False, repr=False)
class Shedding:
    """Whether it sheds now. Invariant: it begins at `at` and goes on until `until`."""

    keys: Shed
    on: bool = False

    def keep(self, views: Views, places: Sequence[int], fullness: float) -> Sequence[int]:
        """Those of the places that are severe enough for how full the pipe is, in order."""
        until = self.keys.until if self.keys.until is not None else 0.75 * self.keys.at
        self.on = fullness >= (until if self.on else self.keys.at)
        if not self.on:
            return places
        least, priorities = self.keys.below, views.priorities
        return [place for place in places if priorities[place] & 7 <= least]


def fullness(channel: "Channel") -> float:
    """How far a channel is from being full: 1 is where its overflow policy begins.

    Of what bounds it the one that is nearest: messages and octets in memory, the memory that it may
    have of what all share, and with a spool the octets on disk and those that wait for it.
    """
    bounds, queue, backlog = channel._bounds, channel._queue, channel.backlog
    if backlog is not None and not (backlog.failing and not backlog.active):
        unwritten = cost(backlog.unwritten_messages, backlog.unwritten_octets)
        disk = (backlog.octets + backlog.unwritten_octets) / backlog.octets_max
        return max(unwritten / bounds.memory, disk)
    return max(
        queue.messages / bounds.messages,
        cost(queue.messages, queue.octets) / bounds.memory,
        float(channel._memory.exhausted(channel)),
    )
