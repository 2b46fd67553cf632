"""Dead letters: what a destination refuses for good, on its way to another with the reason."""

import re
from typing import NamedTuple

from relay.core.account import Drop, PipeAccount
from relay.core.batch import Batch
from relay.core.match import Views
from relay.core.pipe import Pipe
from relay.core.router import put_safely
from relay.system.ports import Host
from relay.wire.escape import escape_text
from relay.wire.timestamp import rfc3339

PRIORITY = 5 << 3 | 4  # syslog.warning, as a notice of loss; RFC 5424 section 6.2.1


class DeadLetters(NamedTuple):
    """Where the messages go that one pipe's destination refuses."""

    pipe: Pipe  # takes the letters; no listener feeds it, and what it drops makes no letter
    destination: str  # that refuses; of several all names, where it was none of them in particular
    host: Host

    def take(
        self, refused: Batch, account: PipeAccount, reason: Drop, why: str, by: str = ""
    ) -> None:
        """Book these messages as handed over, and put a letter for each. Never waits or raises.

        `by`: the one of several destinations that has refused them.

        The pipe of the letters may drop them: then it is that loss which is told.
        """
        account.hand_over(len(refused), reason)
        now_ns = self.host.clock.wall_ns()
        opening = b"<%d>1 %b %b relay - dead-letter - " % (
            PRIORITY, rfc3339(now_ns), self.host.name.encode(),
        )  # fmt: skip
        opening += b"pipe=%b destination=%b reason=%b why=%b received=%b" % (
            account.name.encode(), (by or self.destination).encode(), reason.encode(), _quoted(why),
            rfc3339(refused.received_ns),
        )  # fmt: skip
        letters = [
            b"%b sender=%b message=%b" % (opening, sender.encode("utf-8", "replace"), message)
            for message, sender in zip(refused.messages, refused.senders, strict=True)
        ]
        receipt = refused.receipt if refused.receipt and refused.receipt.owed else None
        batch = Batch(letters, refused.senders, refused.listener, now_ns, sum(map(len, letters)),
                      refused.zone, refused.notice, receipt)  # fmt: skip
        put_safely(self.pipe, batch, Views(batch), full=self.pipe.channel.full)


def _quoted(text: str) -> bytes:
    """In quotes, on one line: the first quote without a backslash before it is the end."""
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return b'"%b"' % escape_text([escaped.encode("utf-8", "backslashreplace")])[0]
