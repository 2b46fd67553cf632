"""Names in headers of RFC 5424, found by where a header mostly ends instead of reading it.

A message is cut at its first ` - `, where most headers have no structured data, or at its first
`] `, where they have. If the names in front of the cut are known, and what of the header followed
them follows again (`- ` in `h a p - - text`), it is the same header: what is read of one depends on
nothing behind its end (tests/wire/test_ends.py).
"""

NAMES_OCTETS_MAX = 160  # longer ones are not remembered
NAMES_MAX = 4096
NO_DATA, END_OF_DATA = b" - ", b"] "
UNKNOWN = (b"", None)

# Looking in vain, and learning, takes up to as long as reading. So one in four may be in vain, and
# a few more; when these are spent, one in 64 is looked for, until names come again.
_VAIN_MAX = 8.0
VAIN_ONE_IN = 4
_PROBED_ONE_IN = 64

_Cut = dict[bytes, tuple[bytes, bytes]]


class Names5424:
    """What stands between stamp and text, and what becomes of it in one format.

    Invariant: at most `NAMES_MAX`, and all that is found by its end is found as a whole, too. To
    JSON that is 4.5 MB at most, if all octets are escaped, and 1.6 more for the ends.
    """

    def __init__(self) -> None:
        self.whole: dict[bytes, bytes] = {}
        self.without_data: _Cut = {}
        """By what is in front of the cut: what follows of the header, and what becomes of all."""
        self.with_data: _Cut = {}
        self.vain_left = _VAIN_MAX
        """How many looks in vain a batch may have beyond one in four; 0 or less: no look."""

    def learn(self, names: bytes, written: bytes) -> None:
        if len(names) <= NAMES_OCTETS_MAX:
            if len(self.whole) >= NAMES_MAX:
                self.forget()
            self.whole[names] = written

    def learn_end(self, names: bytes, written: bytes) -> None:
        """Of names that have been learned, unless they are too long."""
        if len(names) <= NAMES_OCTETS_MAX:
            has_none = names.endswith(NO_DATA)
            front, _, rest = names.partition(NO_DATA if has_none else END_OF_DATA)
            (self.without_data if has_none else self.with_data)[front] = rest, written

    def forget(self) -> None:
        self.whole.clear()
        self.without_data.clear()
        self.with_data.clear()

    def settle(self, looked: int, passed: int, vain: int) -> None:
        """A batch has looked for so many messages, passed so many over, and looked in vain."""
        left = self.vain_left + looked / VAIN_ONE_IN + passed / _PROBED_ONE_IN - vain
        self.vain_left = min(left, _VAIN_MAX)

    def find_with_data(self, message: bytes, at: int) -> tuple[bytes | None, bytes]:
        """What becomes of the names at this offset, if it is known, and the text."""
        head, _, text = message.partition(END_OF_DATA)
        rest, written = self.with_data.get(head[at:], UNKNOWN)
        if rest and not text.startswith(rest):
            return None, text
        return written, text[len(rest) :]
