"""The numbers of transactions, and text that begins with many of them in a row."""

from collections.abc import Sequence

TXNR_MAX = 999_999_999  # the next one is 1; 0 is for hints, which nobody answers
_THOUSAND = 1000


def next_txnr(txnr: int, steps: int = 1) -> int:
    """The number so many transactions later."""
    return (txnr + steps - 1) % TXNR_MAX + 1


def txnrs(first: int, count: int) -> Sequence[int]:
    """So many numbers in a row."""
    last = first + count - 1
    if last <= TXNR_MAX:
        return range(first, last + 1)
    return [*range(first, TXNR_MAX + 1), *range(1, last - TXNR_MAX + 1)]


class Numbered:
    """One text behind each of many numbers.

    All numbers of a thousand are written beforehand, but for what they begin with, and that is
    filled in by one `replace`: 11 ns a number where a formatting of all takes 43.
    """

    def __init__(self, text: bytes) -> None:
        assert not {*b"#%"} & {*text}
        self._format = b"%d" + text
        self._thousand = b"".join([b"#%03d%b" % (rest, text) for rest in range(_THOUSAND)])
        self._width = len(self._thousand) // _THOUSAND

    def from_(self, first: int, count: int) -> bytes:
        """So many numbers from `first` on, each with the text."""
        parts: list[bytes] = []
        while count:
            beginning, rest = divmod(first, _THOUSAND)
            some = min(count, _THOUSAND - rest)  # TXNR_MAX is the last of a thousand
            if beginning:
                lines = self._thousand[rest * self._width : (rest + some) * self._width]
                parts.append(lines.replace(b"#", b"%d" % beginning))
            else:
                parts.append((self._format * some) % tuple(range(first, first + some)))
            first = next_txnr(first, some)
            count -= some
        return b"".join(parts)
