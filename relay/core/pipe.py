"""A pipe: which messages of which listeners go to one destination, through one channel."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.match import Match, Views, select
from relay.core.rules import Rules


@dataclass(frozen=True, slots=True, eq=False)
class Pipe:
    """The receiving half of a pipe: filter, then buffer. Its account is its channel's."""

    name: str
    match: Sequence[Match]  # empty: everything
    channel: Channel
    rules: Rules | None = None  # what is done with what matches

    @property
    def account(self) -> PipeAccount:
        return self.channel.account

    def put(self, batch: Batch, views: Views, *, full: bool | None = None) -> Sequence[int] | None:
        """Take what matches; return the places of those messages, None for all of them.

        `full`: see `Channel.put`.
        """
        chosen = select(self.match, views) if self.match else None
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
