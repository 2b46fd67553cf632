"""A pipe: which messages of which listeners go to one destination, through one channel."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.match import Match, Views, select


@dataclass(frozen=True, slots=True, eq=False)
class Pipe:
    """The receiving half of a pipe: filter, then buffer. Its account is its channel's."""

    name: str
    match: Sequence[Match]  # empty: everything
    channel: Channel

    @property
    def account(self) -> PipeAccount:
        return self.channel.account

    def put(self, batch: Batch, views: Views, *, full: bool | None = None) -> Sequence[int] | None:
        """Take what matches; return the places of those messages, None for all of them.

        `full`: see `Channel.put`.
        """
        if not self.match:
            self.channel.put(batch, full=full)
            return None
        chosen = select(self.match, views)
        filtered = len(batch) - len(chosen)
        if not filtered:
            self.channel.put(batch, full=full)
            return None
        self.account.received += filtered
        self.account.filtered += filtered
        if chosen:
            self.channel.put(batch.select(chosen), full=full)
        return chosen
