"""What has become of numbered messages: found in what a receiver has recorded."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.messages import message
from tests.scenarios.harness.messages import split

# Programs rewrite headers; the text, which is the same in all of them, follows `number`.
_NUMBERED = re.compile(rb"number (\d{10}) \.*\Z")
_TEXT = re.compile(rb"number \d{10} .*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    sent: int  # messages
    lost: int  # never read by the receiver
    duplicated: int  # copies beyond the first
    foreign: int  # messages that nobody sent, or not like this

    @property
    def intact(self) -> bool:
        """Each message arrived, and nothing that is none."""
        return not self.lost and not self.foreign


def judge(sent: int, found: Iterable[bytes]) -> Verdict:
    """Compare the messages that were found with the numbers 0 to `sent`."""
    copies: Counter[int] = Counter()
    foreign = 0
    for each in found:
        number = number_of(each)
        if number is None or number >= sent:
            foreign += 1
        else:
            copies[number] += 1
    duplicated = copies.total() - len(copies)
    return Verdict(sent, sent - len(copies), duplicated, foreign)


def number_of(found: bytes) -> int | None:
    """The number of a message whose text is whole; None for any other."""
    text = _NUMBERED.search(found.removesuffix(b"\n"))  # syslog-ng ends a counted frame with LF
    if text is None or found.count(b"number ") > 1:
        return None
    number = int(text[1])
    whole = _TEXT.search(message(number))
    assert whole
    return number if text[0] == whole[0] else None


def recorded(directory: Path) -> Sequence[bytes]:
    """The whole messages of all connections, octet counted; a cut one at an end is none."""
    return [
        each
        for path in sorted(directory.iterdir())
        for each in split(path.read_bytes(), "octet")[0]
    ]
