"""The sending side of a RELP session.

    opening ──rsp 200──▶ open ──closing()──▶ closing ──rsp or serverclose──▶ closed

The server may answer in any order; messages are confirmed in theirs, because that is how they are
settled. Only a 200 confirms: after anything else, or a fault, every message that is not confirmed
is to be sent again over another session.
"""

from collections.abc import Sequence
from typing import Literal

from relay.wire.relp.frame import (
    Fault,
    Frame,
    FrameReader,
    encode,
    encode_answers,
    encode_messages,
)
from relay.wire.relp.offers import VERSION, has_syslog, offers, parse_offers, version_of
from relay.wire.relp.txnr import TXNR_MAX, next_txnr

ANSWER_MAX = 64 << 10  # octets of DATA in an answer; librelp's longest has 90
# librelp, server and client alike, calls the protocol 0 and knows no other number; a server that
# knows 1 knows 0.
VERSION_OFFERED = 0
_TEXT_MAX = 80  # octets of a server's explanation that we repeat; the specification's HUMANMSG


class ClientSession:
    """Frames messages, and learns from the bytes of the server which are confirmed.

    Invariant: the `unanswered` transactions before `_next` are sent and not confirmed; `_ahead`
    holds those of them that were answered before an older one.
    """

    def __init__(self) -> None:
        self.state: Literal["opening", "open", "closing", "closed"] = "opening"
        self.unanswered = 0
        self._reader = FrameReader(ANSWER_MAX, ANSWER_MAX)
        self._next = 1
        self._ahead: set[int] = set()
        self._control = 0  # the transaction of `open`, then that of `close`

    @property
    def fault(self) -> Fault | None:
        """Set: the session is over, nothing more is confirmed."""
        return self._reader.fault

    def opening(self) -> bytes:
        """What to send first."""
        self._control = self._number(1)
        return encode(self._control, b"open", offers(VERSION_OFFERED))

    def frames(self, messages: Sequence[bytes]) -> bytes:
        """These messages, to be sent; they are unanswered from now on."""
        assert self.state == "open"
        assert not self.fault
        first = self._number(len(messages))
        self.unanswered += len(messages)
        return encode_messages(first, messages)

    def closing(self) -> bytes:
        """What to send last; answers may still come."""
        assert self.state == "open"
        self.state = "closing"
        self._control = self._number(1)
        return encode(self._control, b"close")

    def feed(self, data: bytes) -> int:
        """How many more of the oldest messages the server has confirmed."""
        if self.fault or self.state == "closed":
            return 0
        self._reader.feed(data)
        confirmed = self._run()
        while (frame := self._reader.next()) is not None:
            confirmed += self._take(frame)
        return confirmed

    def _number(self, transactions: int) -> int:
        first = self._next
        self._next = next_txnr(first, transactions)
        return first

    def _run(self) -> int:
        """Take whole answers that are what librelp and Relay write, in order: 20 ns each."""
        reader = self._reader
        if not (reader.between and reader.pos == 0 and self.state == "open") or self._ahead:
            return 0
        count = min(reader.data.count(b"\n"), self.unanswered)
        expected = encode_answers(self._oldest(), count)
        if not reader.data.startswith(expected):
            return 0
        reader.pos = len(expected)
        self.unanswered -= count
        return count

    def _take(self, frame: Frame) -> int:
        if frame.command == b"serverclose" and frame.txnr == 0:
            self._end()
        elif frame.txnr == 0:
            pass  # any other hint
        elif frame.command != b"rsp":
            self._fail("protocol", f"command {frame.command.decode()}, expected rsp")
        elif frame.txnr == self._control and self.state != "open":
            self._take_control(frame)
        elif not self._is_unanswered(frame.txnr):
            self._fail("protocol", f"an answer to transaction {frame.txnr}, which has none to come")
        elif not _says_yes(frame.data):
            self._fail("refused", f"the server answers {_text(frame.data)}")
        else:
            return self._confirm(frame.txnr)
        return 0

    def _take_control(self, frame: Frame) -> None:
        """The answer to `open` or `close`."""
        if self.state == "closing":
            self._end()  # whatever it says: librelp's answer has no DATA at all
        elif not _says_yes(frame.data):
            self._fail("refused", f"the server answers {_text(frame.data)} to open")
        else:
            found = parse_offers(frame.data.partition(b"\n")[2])
            version = version_of(found)
            if version is None or version > VERSION:
                self._fail("protocol", "the server speaks no version of RELP that we know")
            elif not has_syslog(found):
                self._fail("refused", "the server does not take syslog")
            else:
                self.state = "open"

    def _end(self) -> None:
        """The server closes: nothing more is answered."""
        if self.state == "closing":
            self.state = "closed"
            self._reader.clear()
        else:
            self._fail("refused", "the server closes the session")

    def _confirm(self, txnr: int) -> int:
        """Messages that may be settled now that this transaction has its 200."""
        self._ahead.add(txnr)
        confirmed = 0
        while self._ahead and (oldest := self._oldest()) in self._ahead:
            self._ahead.discard(oldest)
            self.unanswered -= 1
            confirmed += 1
        return confirmed

    def _oldest(self) -> int:
        sent = self._next if self.state != "closing" else self._control
        return next_txnr(sent, -self.unanswered)

    def _is_unanswered(self, txnr: int) -> bool:
        return txnr not in self._ahead and (txnr - self._oldest()) % TXNR_MAX < self.unanswered

    def _fail(self, reason: Literal["protocol", "refused"], text: str) -> None:
        self._reader.fail(reason, text)


def _says_yes(answer: bytes) -> bool:
    return answer[:3] == b"200" and answer[3:4] in (b"", b" ", b"\n")


def _text(answer: bytes) -> str:
    """The code and the explanation, without what follows them."""
    return repr(answer.partition(b"\n")[0][:_TEXT_MAX].decode("utf-8", "backslashreplace"))
