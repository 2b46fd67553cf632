"""What the rules of a pipe make of its messages: rewritten, then masked.

Where one fails, by a bug of ours or of the engine of regular expressions, its message is dropped,
and that one alone: nothing passes that a rule has not seen. As with one that a destination refuses
for good, its sender is told yes, since to send it again would not help.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from relay.core.account import Drop, PipeAccount
from relay.core.batch import Batch
from relay.core.mask import Masking
from relay.core.match import Views
from relay.core.rewrite import Rewriting

log = logging.getLogger("relay.router")


class Changes(NamedTuple):
    """The rules of one pipe that change messages. Masks are last: no field brings anything back."""

    rewritings: Sequence[Rewriting]
    maskings: Sequence[Masking]

    @property
    def names(self) -> Sequence[str]:
        """As the account counts them."""
        return [f"rewrite[{n}]" for n in range(len(self.rewritings))] + [
            f"mask[{n}]" for n in range(len(self.maskings))
        ]

    def apply(self, views: Views, account: PipeAccount) -> Batch | None:
        """The batch as it is from now on, None for nothing; the same one if no rule has changed it.

        What a rule fails on is booked as received and dropped.
        """
        counts: Counter[str] = Counter()
        batch: Batch | None
        try:
            batch = self._change(views, counts)
        except MemoryError:
            raise  # no message is to blame
        except Exception:
            counts.clear()
            batch = self._one_by_one(views.batch, counts, account)
        for name, changed in counts.items():
            account.changed[name] = account.changed.get(name, 0) + changed
        return batch

    def _change(self, views: Views, counts: Counter[str]) -> Batch:
        for number, rewriting in enumerate(self.rewritings):
            batch, changed = rewriting.apply(views)
            counts[f"rewrite[{number}]"] += changed
            views = views if batch is views.batch else Views(batch)
        for number, masking in enumerate(self.maskings):
            batch, changed = masking.apply(views)
            counts[f"mask[{number}]"] += changed
            views = views if batch is views.batch else Views(batch)
        return views.batch

    def _one_by_one(self, batch: Batch, counts: Counter[str], account: PipeAccount) -> Batch | None:
        """The messages on which no rule fails, in order."""
        kept, messages = [], []
        fault: Exception | None = None
        for place in range(len(batch)):
            found: Counter[str] = Counter()
            try:
                [message] = self._change(Views(batch.part(place, place + 1)), found).messages
            except MemoryError:
                raise
            except Exception as exc:
                fault = exc
            else:
                kept.append(place)
                messages.append(message)
                counts.update(found)
        lost = len(batch) - len(kept)
        if fault is not None:
            log.error("pipe %s: a rule failed: %d messages dropped by a bug\n%s",
                      account.name, lost, without_text(fault))  # fmt: skip
            account.received += lost
            account.drop(lost, Drop.INTERNAL_ERROR, notice=batch.notice)
            account.restarts += 1
        return batch.select(kept).with_messages(messages) if kept else None


def without_text(fault: Exception) -> str:
    """What it is and where it came from, without its text, which may quote a message."""
    return "".join(traceback.format_tb(fault.__traceback__)) + type(fault).__name__
