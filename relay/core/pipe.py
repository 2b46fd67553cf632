"""A pipe: which messages of which listeners go to one destination, through one channel."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.match import Match, Views
from relay.core.rules import Rules
from relay.core.tables import Tables


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pipe:
    """The receiving half of a pipe: filter, then buffer. Its account is its channel's."""

    name: str
    match: Sequence[Match]  # empty: everything
    channel: Channel
    rules: Rules | None = None  # what is done with what matches
    _tables: Tables = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tables", Tables(self.match))

    @property
    def account(self) -> PipeAccount:
        return self.channel.account

    def put(self, batch: Batch, views: Views, *, full: bool | None = None) -> Sequence[int] | None:
        """Take what matches; return the places of those messages, None for all of them.

        `full`: see `Channel.put`.
        """
        chosen = self._tables.select(views, range(len(batch))) if self.match else None
        if chosen is not None:
            filtered = len(batch) - len(chosen)
            self.account.received += filtered
            self.account.filtered += filtered
            if not filtered:
                chosen = None
        if self.rules is not None:
            places = range(len(batch)) if chosen is None else chosen
            taken = self.rules.apply(self.channel, views, places)
        elif chosen is None:
            taken = batch
        else:
            taken = batch.select(chosen) if chosen else None
        if taken is not None:
            self.channel.put(taken, full=full)
        return chosen
