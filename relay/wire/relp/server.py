"""The receiving side of a RELP session.

    opening ──open──▶ open ──close, or end()──▶ closing ──all answered──▶ closed

Transactions have to come numbered 1, 2, 3 …, as librelp's server wants them, too; therefore two
integers are all that is kept of those that wait for their answer. Answers go out in the order of
the transactions, one each, as librelp's client counts them. A fault ends the session: whatever has
no answer by then is still the client's, and comes again in its next session.
"""

from typing import Literal

from relay.wire import counting
from relay.wire.clip import clip
from relay.wire.framing import HOLD_EXTRA, FramingCounts
from relay.wire.relp.frame import Fault, Frame, FrameReader, encode, encode_answers
from relay.wire.relp.offers import VERSION, has_syslog, offers, parse_offers, version_of
from relay.wire.relp.txnr import TXNR_MAX, Numbered, next_txnr
from relay.wire.split import split_lines

KNOWN_MAX = 2048  # octets of DATA in frames that are taken many at a time
KNOWN_COUNTS = {b"%d" % count: count for count in range(1, KNOWN_MAX + 1)}  # as digits: 0.2 MB
# What stands between number and DATA, by how long it is with the DATA. 0.2 MB.
_LENGTHS = {len(b"%d " % n) + n: b"%d " % n for n in range(1, KNOWN_MAX + 1)}
_COMMANDS = Numbered(b" syslog \n")
_LINES_OCTETS_MIN = 1024  # fewer are not worth the preparations, 2 us


class ServerSession:
    """Takes the bytes of one connection, gives its messages, and keeps their answers in order.

    Invariants: `unanswered` transactions up to the one before `_next` have been taken and have no
    answer; octets of answers that were not sent stand in `outgoing`.
    """

    def __init__(self, message_max: int, data_max: int, counts: FramingCounts) -> None:
        assert message_max <= data_max
        self.state: Literal["opening", "open", "closing", "closed"] = "opening"
        self.unanswered = 0
        self.outgoing = bytearray()
        self._reader = FrameReader(message_max + HOLD_EXTRA, data_max)
        self._message_max = message_max
        self._counts = counts
        self._next = 1
        self._close: int | None = None  # the client's `close`, answered after all before it

    @property
    def fault(self) -> Fault | None:
        """Set: the connection is to be closed, nothing more is taken."""
        return self._reader.fault

    @property
    def buffered(self) -> int:
        """Octets held of a message that has begun."""
        return self._reader.held

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun and has not ended."""
        return not self._reader.between or self._reader.held > 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes; `unanswered` grows by their number and the empty.

        Once the session ends, or has a fault, what comes is passed over: it is the client's.
        """
        messages: list[bytes] = []
        if self.fault or self.state in ("closing", "closed"):
            return messages
        self._reader.feed(data)
        looked = False
        while self.state in ("opening", "open"):
            if self.state == "open":
                if not looked and self._reader.between:
                    looked = True  # at all that is left: for each frame anew it would take seconds
                    self._lines(messages)
                self._run(messages)
            frame = self._reader.next()
            if frame is None:
                break
            self._take(frame, messages)
        return messages

    def answer(self, transactions: int) -> None:
        """The oldest so many are secured: tell the client."""
        assert transactions <= self.unanswered
        self.outgoing += encode_answers(self._oldest(), transactions)
        self.unanswered -= transactions
        self._finish()

    def end(self) -> None:
        """Take nothing more; `closed`, with a `serverclose`, once everything is answered."""
        if self.state in ("opening", "open"):
            self.state = "closing"
            self._reader.clear()
            self._finish()

    def cut(self) -> list[bytes]:
        """For a listener whose buffers are full: end the session, whose client has it all."""
        text = f"{self.buffered} octets of a frame, and the buffers are full"
        self._reader.fail("too-large", text)
        return []

    def close(self) -> list[bytes]:
        """What the end of the connection completes: nothing, an unfinished frame comes again."""
        return []

    def _oldest(self) -> int:
        return next_txnr(self._next, -self.unanswered)

    def _finish(self) -> None:
        if self.state != "closing" or self.unanswered:
            return
        if self._close is not None:
            self.outgoing += encode(self._close, b"rsp", b"200 OK")
        self.outgoing += encode(0, b"serverclose")
        self.state = "closed"

    def _lines(self, messages: list[bytes]) -> None:
        """Take all whole frames at once if they need no care, and no message has an LF in it.

        Lines are cut as if they were frames, and what each has to begin with is taken off: the
        number that comes next and `syslog`, and then the length that is left. If they have lost
        as many octets as these have together, each began with its own. 0.35 us a message of 256
        octets in reads of 64 KiB.
        """
        reader = self._reader
        pos = reader.pos
        end = reader.data.rfind(b"\n", pos) + 1
        if not reader.between or end - pos < _LINES_OCTETS_MIN:
            return
        text = reader.data[pos:end]
        lines = split_lines(text)
        commands = _COMMANDS.from_(self._next, len(lines))
        begun = list(map(bytes.removeprefix, lines, commands.split(b"\n")))
        try:
            lengths = list(map(_LENGTHS.__getitem__, map(len, begun)))
        except KeyError:
            return
        taken = list(map(bytes.removeprefix, begun, lengths))
        expected = len(commands) + sum(map(len, lengths))  # with an LF for each frame
        if len(text) - sum(map(len, taken)) != expected or self._need_care(text, taken):
            return
        reader.pos = end
        self._next = next_txnr(self._next, len(taken))
        self._add(taken, messages)

    def _need_care(self, text: bytes, taken: list[bytes]) -> bool:
        """Whether one of these has a terminator of its own, or may be too long."""
        if b"\0" in text and b"\0\n" in text:
            return True
        return self._message_max < KNOWN_MAX and max(map(len, taken)) > self._message_max

    def _add(self, taken: list[bytes], messages: list[bytes]) -> None:
        self._counts.octet += len(taken)
        self.unanswered += len(taken)
        messages += taken

    def _run(self, messages: list[bytes]) -> None:
        """Take whole `syslog` frames that need no care, one after the other.

        0.62 us a message of 256 octets; `_take` alone would be 3.
        """
        reader = self._reader
        if not reader.between:
            return
        data, pos, txnr = reader.data, reader.pos, self._next
        find, known, last = data.find, KNOWN_COUNTS.get, len(data) - 1
        message_max = self._message_max
        taken: list[bytes] = []
        while pos < last:
            header = b"%d syslog " % txnr
            if not data.startswith(header, pos):
                break
            start = pos + len(header)
            space = find(b" ", start, start + 5)
            count = known(data[start:space]) if space > 0 else None
            if count is None or count > message_max:
                break
            end = space + 1 + count
            if end > last or data[end] != 0x0A or data[end - 1] in b"\n\0":
                break
            taken.append(data[space + 1 : end])
            pos = end + 1
            txnr = txnr + 1 if txnr < TXNR_MAX else 1
        reader.pos = pos
        self._next = txnr
        self._add(taken, messages)

    def _take(self, frame: Frame, messages: list[bytes]) -> None:
        if frame.txnr == 0:
            return  # a hint, which is never answered; we know of none that clients send
        if frame.txnr != self._next:
            self._fail(f"transaction {frame.txnr}, expected {self._next}")
        elif self.state == "opening":
            self._open(frame)
        elif frame.command == b"syslog":
            self._take_message(frame, messages)
        elif frame.command == b"close":
            self._close = frame.txnr
            self.end()
        else:
            self._fail(f"command {frame.command.decode()}, expected syslog or close")

    def _open(self, frame: Frame) -> None:
        if frame.command != b"open":
            self._fail(f"command {frame.command.decode()}, expected open")
            return
        found = parse_offers(frame.data)
        version = version_of(found)
        if version is None or not has_syslog(found):
            what = "relp_version" if version is None else "command syslog"
            self.outgoing += encode(frame.txnr, b"rsp", b"500 no %b is offered" % what.encode())
            self._fail(f"no {what} is offered")
            return
        answer = b"200 OK\n" + offers(min(version, VERSION))
        self.outgoing += encode(frame.txnr, b"rsp", answer)
        self.state = "open"
        self._next = next_txnr(self._next)

    def _take_message(self, frame: Frame, messages: list[bytes]) -> None:
        text, counts = frame.data, self._counts
        size = frame.size - (counting.ending(text) if frame.size == len(text) else 0)
        if size:
            message = clip(text[:size], self._message_max)
            messages.append(message)
            counts.octet += 1
            if len(message) < size:
                counts.truncated += 1
                counts.truncated_octets += size - len(message)
        else:
            counts.empty += 1
        self.unanswered += 1
        self._next = next_txnr(self._next)

    def _fail(self, text: str) -> None:
        self._reader.fail("protocol", text)
