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
from relay.core.changes import Changes
from relay.core.keys import Keys
from relay.core.mask import Mask, Masking
from relay.core.match import Views
from relay.core.rate import Bucket, Burst, Limit, Rate, check_burst
from relay.core.rewrite import Rewrite, Rewriting
from relay.core.sample import Sample, Sampling
from relay.core.shed import Shed, Shedding, fullness
from relay.core.tables import Tables
from relay.core.values import Duration, listed, or_one

if TYPE_CHECKING:
    from relay.core.channel import Channel


class RuleKeys(Keys):
    """The keys of a pipe that say what it does with a message."""

    ttl: Annotated[Duration, Field(ge=1)] | None = None
    """What is older when it would be delivered is dropped, by time of receipt. Default: nothing."""
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

    rewrite: Annotated[
        tuple[Rewrite, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)
    ] = ()
    """Tables of header fields that are set, one after the other; default: none."""
    mask: Annotated[tuple[Mask, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)] = ()
    """Tables of what is masked, one after the other, before anything is kept; default: nothing."""

    _check_burst = field_validator("burst")(check_burst)


@dataclass(slots=True, eq=False, repr=False)
class Rules:
    """The rules of one pipe, and what they have counted; outlives a reload that leaves its keys."""

    sampling: Sampling | None
    shedding: Shedding | None
    bucket: Bucket | None
    changes: Changes | None

    @classmethod
    def of(cls, keys: RuleKeys, our_name: str) -> "Rules | None":
        """None: there are no rules. `our_name` is the host of local messages that name none."""
        limit = Limit.of(keys.rate_limit, keys.burst)
        rules = cls(
            sampling=Sampling(keys.sample) if keys.sample else None,
            shedding=Shedding(keys.shed) if keys.shed else None,
            bucket=Bucket(limit, limit.burst, 0.0) if limit else None,
            changes=_changes(keys, our_name) if keys.rewrite or keys.mask else None,
        )
        return rules if rules._drops or rules.changes else None

    def apply(self, channel: "Channel", views: Views, places: Sequence[int]) -> Batch | None:
        """What the channel is to take of these places, None for nothing.

        What is dropped is booked as received and dropped. Notices of loss are never dropped here.
        """
        batch = views.batch
        if self._drops and not batch.notice:
            places = self._keep(channel, views, places)
        if not places:
            return None
        whole = len(places) == len(batch)
        taken = batch if whole else batch.select(places)
        if self.changes is None:
            return taken
        views = views if whole else views.select(taken, places)
        return self.changes.apply(views, channel.account)

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
                # At most a burst is owed, or others would pay for long after this is over.
                self.bucket.charge(len(places), now, owed_max=self.bucket.limit.burst)
            else:
                kept = places[: self.bucket.take(len(places), now)]
                _drop(channel, len(places) - len(kept), Drop.RATE)
                places = kept
        return places

    @property
    def names(self) -> Sequence[str]:
        """Of the rules that change messages, as the account counts them."""
        return self.changes.names if self.changes is not None else ()

    @property
    def masks(self) -> bool:
        """What a message says is to be nowhere but behind the masks."""
        return self.changes is not None and bool(self.changes.maskings)

    @property
    def _drops(self) -> bool:
        return bool(self.sampling or self.shedding or self.bucket)


def rule_values(keys: RuleKeys) -> dict[str, Any]:
    """The keys of `RuleKeys` alone, to tell whether a reload has changed any."""
    return {name: getattr(keys, name) for name in RuleKeys.model_fields}


def no_rules() -> dict[str, Any]:
    """The defaults of all of them."""
    return {name: field.default for name, field in RuleKeys.model_fields.items()}


def _changes(keys: RuleKeys, our_name: str) -> Changes:
    return Changes(
        [Rewriting(Tables(it.match), it.change(), our_name) for it in keys.rewrite],
        [Masking.of(it) for it in keys.mask],
    )


def _drop(channel: "Channel", messages: int, reason: Drop) -> None:
    if messages:
        channel.account.received += messages
        channel.account.drop(messages, reason)
