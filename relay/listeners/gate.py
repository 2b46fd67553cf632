"""The gate of a datagram listener: which of the messages just read are accepted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.account import Refusal
from relay.core.intake import Intake
from relay.core.networks import Senders


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Decides for a batch at a time; a batch that passes whole stays the object it was."""

    intake: Intake
    allowed: Senders

    def admit(
        self, messages: Sequence[bytes], senders: Sequence[str]
    ) -> tuple[Sequence[bytes], Sequence[str]]:
        """What may pass, in order. The rest is booked as refused, and told."""
        strangers = {sender for sender in set(senders) if sender not in self.allowed}
        if not strangers:
            return messages, senders
        for sender, refused in Counter(it for it in senders if it in strangers).items():
            self.intake.refuse_from(sender, refused, Refusal.NOT_ALLOWED)
        kept = [place for place, sender in enumerate(senders) if sender not in strangers]
        return [messages[place] for place in kept], [senders[place] for place in kept]
