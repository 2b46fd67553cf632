"""What a pipe does with the messages that its `match` took, before they are in its channel.

`match → sample → shed → rate_limit → rewrite → mask → channel`. What drops stands before what
changes, so that nothing is changed in vain, and every step decides on the message as it came. Each
is a plain function over a batch; a pipe without rules has no `Rules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from relay.core.account import Drop
from relay.core.batch import Batch
from relay.core.keys import Keys
from relay.core.match import Views, listed, or_one
from relay.core.rate import Bucket, Burst, Limit, Rate, check_burst
from relay.core.sample import Sample, Sampling
from relay.core.shed import Shed, Shedding, fullness

if TYPE_CHECKING:
    from relay.core.channel import Channel


class RuleKeys(Keys):
    """The keys of a pipe that say what it does with a message."""

    sample: Annotated[
        tuple[Sample, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)
    ] = ()
    """Tables of which the first that matches a message keeps one in so many; default: all."""
    shed: Shed | None = None
    """A table: what is dropped when the pipe fills up; default: nothing before it is full."""
    rate_limit: Rate | None = None
    """Messages that the pipe takes on average; those above are dropped. Default: no limit."""
    burst: Burst | None = None
    """Messages that it takes at once; default: what `rate_limit` is in a second."""

    _check_burst = field_validator("burst")(check_burst)


@dataclass(slots=True, eq=False)
class Rules:
    """The rules of one pipe, and what they have counted; outlives a reload that leaves its keys."""

    sampling: Sampling | None
    shedding: Shedding | None
    bucket: Bucket | None

    @classmethod
    def of(cls, keys: RuleKeys) -> "Rules | None":
        """None: there are no rules."""
        limit = Limit.of(keys.rate_limit, keys.burst)
        rules = cls(
            sampling=Sampling(keys.sample) if keys.sample else None,
            shedding=Shedding(keys.shed) if keys.shed else None,
            bucket=Bucket(limit, limit.burst, 0.0) if limit else None,
        )
        return rules if rules._any() else None

    def apply(self, channel: "Channel", views: Views, places: Sequence[int]) -> Batch | None:
        """What the channel is to take of these places, None for nothing.

        What is dropped is booked as received and dropped. Notices of loss are never dropped here.
        """
        batch = views.batch
        if not batch.notice:
            places = self._keep(channel, views, places)
        if not places:
            return None
        return batch if len(places) == len(batch) else batch.select(places)

    def _keep(self, channel: "Channel", views: Views, places: Sequence[int]) -> Sequence[int]:
        if self.sampling is not None:
            kept = self.sampling.keep(views, places)
            _drop(channel, len(places) - len(kept), Drop.SAMPLED)
            places = kept
        # What depends on pressure drops nothing that the sender will be told yes for.
        kept_for_sender = views.batch.receipt is not None and channel.keeps
        if self.shedding is not None and not kept_for_sender:
            kept = self.shedding.keep(views, places, fullness(channel))
            _drop(channel, len(places) - len(kept), Drop.SHED)
            places = kept
        if self.bucket is not None and places:
            now = views.batch.received_ns / 1e9
            if kept_for_sender:
                self.bucket.charge(len(places), now)
            else:
                kept = places[: self.bucket.take(len(places), now)]
                _drop(channel, len(places) - len(kept), Drop.RATE)
                places = kept
        return places

    def _any(self) -> bool:
        return any(it is not None for it in (self.sampling, self.shedding, self.bucket))


def rule_values(keys: RuleKeys) -> dict[str, Any]:
    """The keys of `RuleKeys` alone, to tell whether a reload has changed any."""
    return {name: getattr(keys, name) for name in RuleKeys.model_fields}


def no_rules() -> dict[str, Any]:
    """The defaults of all of them."""
    return {name: field.default for name, field in RuleKeys.model_fields.items()}


def _drop(channel: "Channel", messages: int, reason: Drop) -> None:
    if messages:
        channel.account.received += messages
        channel.account.drop(messages, reason)
