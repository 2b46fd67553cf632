"""The gate of a datagram listener: which of the messages just read are accepted."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from relay.core.account import Refusal
from relay.core.intake import Intake
from relay.core.networks import Senders
from relay.core.rate import Buckets

Read = tuple[Sequence[bytes], Sequence[str]]  # messages, and parallel to them their senders


class Gate(NamedTuple):
    """Decides for a batch at a time; one that passes whole stays the object it was.

    What may not pass is booked as refused, and told.
    """

    intake: Intake
    allowed: Senders | None
    buckets: Buckets | None

    def admit(self, messages: Sequence[bytes], senders: Sequence[str]) -> Read:
        """What may pass, in order."""
        if self.allowed is not None:
            messages, senders = self._without_strangers(self.allowed, messages, senders)
        if self.buckets is not None and messages:
            messages, senders = self._within_rates(self.buckets, messages, senders)
        return messages, senders

    def _without_strangers(
        self, allowed: Senders, messages: Sequence[bytes], senders: Sequence[str]
    ) -> Read:
        strangers = {sender for sender in set(senders) if sender not in allowed}
        if not strangers:
            return messages, senders
        for sender, refused in Counter(it for it in senders if it in strangers).items():
            self.intake.refuse_from(sender, refused, Refusal.NOT_ALLOWED)
        kept = [place for place, sender in enumerate(senders) if sender not in strangers]
        return [messages[place] for place in kept], [senders[place] for place in kept]

    def _within_rates(
        self, buckets: Buckets, messages: Sequence[bytes], senders: Sequence[str]
    ) -> Read:
        """Of a sender above its rate the first ones pass."""
        now = self.intake.host.clock.now()
        left: dict[str, int] = {}  # of senders above their rate: how many may still pass
        for sender, sent in Counter(senders).items():
            granted = buckets.of(sender, now).take(sent, now)
            if granted < sent:
                left[sender] = granted
                self.intake.refuse_from(sender, sent - granted, Refusal.RATE)
        if not left:
            return messages, senders
        kept = []
        for place, sender in enumerate(senders):
            if sender in left:
                if not left[sender]:
                    continue
                left[sender] -= 1
            kept.append(place)
        return [messages[place] for place in kept], [senders[place] for place in kept]
