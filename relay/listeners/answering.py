"""A reader that answers: RELP connections, and who still owes their answers.

What one turn reads is put with one receipt, whichever connections it came from. When the receipt
is paid, each of these connections has a share that may be answered, once the shares before it are.
Answers are sent from a task of their own, so that they go out while the reader waits for room.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import trio

from relay.core.intake import Intake
from relay.core.receipt import Receipt
from relay.core.streams import Stream, Streams
from relay.listeners.deadlines import Late
from relay.listeners.limits import Limits
from relay.listeners.reader import Reader
from relay.listeners.turn import Turn
from relay.system.ports import ConnectionBroken, ReadySet
from relay.wire.relp.server import ServerSession

log = logging.getLogger("relay.listener")

ANSWERS_MAX = 64 << 10  # octets of answers a peer may leave unread before it is read no more
TURN_CONNECTIONS = 256  # answered in one turn, 5 us each, so that others have theirs


@dataclass(slots=True, eq=False, repr=False)
class Share:
    """Transactions of one connection that were put together."""

    transactions: int
    paid: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Conversation:
    """A RELP session as a stream's framer, and its shares in the order of their answers.

    Invariant: between turns the shares are what the session has not answered.
    """

    session: ServerSession
    window: int
    shares: deque[Share] = field(default_factory=deque)
    shared: int = 0  # transactions in all of them
    broken: bool = False  # a pipe that owed an answer will never pay
    read: bool = True  # its connection is in the set of those that are read
    unsent: bool = False  # its connection is in the set of those that wait to send
    unsent_at: float = 0.0  # since when: the kernel has taken nothing more
    waited: bool = False  # it has not been read for a while

    @property
    def buffered(self) -> int:
        return self.session.buffered

    @property
    def unfinished(self) -> bool:
        return self.session.unfinished

    def feed(self, data: bytes) -> list[bytes]:
        return self.session.feed(data)

    def cut(self) -> list[bytes]:
        return self.session.cut()

    def close(self) -> list[bytes]:
        return self.session.close()

    @property
    def full(self) -> bool:
        """Whether the peer has to take answers, or wait for some, before it is read on."""
        session = self.session
        return session.unanswered >= self.window or len(session.outgoing) >= ANSWERS_MAX

    @property
    def quiet(self) -> bool:
        """Whether the peer has all the answers that it waits for."""
        return not (self.session.unanswered or self.session.outgoing)

    def share(self) -> Share:
        """What was taken since the last share."""
        share = Share(self.session.unanswered - self.shared)
        self.shared += share.transactions
        self.shares.append(share)
        return share

    def settle(self) -> None:
        """Answer the shares at the front that are paid."""
        while self.shares and self.shares[0].paid:
            transactions = self.shares.popleft().transactions
            self.shared -= transactions
            self.session.answer(transactions)


class AnsweringReader(Reader):
    """Reads RELP connections and answers them.

    Invariants, between turns: a connection is watched for reading unless its conversation is full,
    and watched for room to send as long as there are answers that the kernel did not take.
    """

    def __init__(
        self, intake: Intake, limits: Limits, ready_set: ReadySet, sending_set: ReadySet
    ) -> None:
        super().__init__(intake, limits, ready_set)
        self.sending_set = sending_set
        self._taken: dict[Stream, None] = {}  # by this turn: connections with a share in it
        for stream in intake.streams.table.values():
            conversation = _conversation(stream)
            if not conversation.read:
                ready_set.discard(stream.connection)
                self.queue.discard(stream)
            if conversation.unsent:
                sending_set.add(stream.connection, writable=True)

    def end(self, stream: Stream, now: float) -> None:
        """Take nothing more; our FIN goes out behind the last answer and a `serverclose`."""
        _conversation(stream).session.end()
        stream.begun_at = None  # it is the sender's
        self.intake.streams.weigh(stream)
        self.answer(stream)

    def answer(self, stream: Stream) -> None:
        """Send what there is for this peer, as far as the kernel takes it. Waits for nobody."""
        if not self._is_open(stream):
            return
        conversation = _conversation(stream)
        if conversation.broken:
            self._break_off(stream, "unanswered", "its answer was owed by a pipe that has ended")
            return
        outgoing = conversation.session.outgoing
        now = self.intake.host.clock.now()
        try:
            while outgoing and (sent := stream.connection.send([bytes(outgoing)])):
                del outgoing[:sent]
                conversation.unsent_at = now
        except ConnectionBroken as broken:
            self._broke(stream, broken)
            self._close(stream)
            return
        if conversation.session.state == "closed" and not outgoing and stream.ended_at is None:
            super().end(stream, now)
        self._watch(stream, conversation)

    def close_all(self) -> None:
        """The stop has no more time: what has no answer is the senders'."""
        for stream in list(self.intake.streams.table.values()):
            if not _conversation(stream).quiet:
                self.intake.account.connections_failed["unanswered"] += 1
            self._close(stream)

    def _watch(self, stream: Stream, conversation: Conversation) -> None:
        """Be told of what this connection waits for, and of nothing else."""
        connection = stream.connection
        unsent = bool(conversation.session.outgoing)
        if unsent and not conversation.unsent:
            conversation.unsent_at = self.intake.host.clock.now()
            self.sending_set.add(connection, writable=True)
        elif conversation.unsent and not unsent:
            self.sending_set.discard(connection)
        conversation.unsent = unsent
        read = not conversation.full
        if read and not conversation.read:
            self.ready_set.add(connection)
            self._look(stream)
            stream.resume(self.intake.host.clock.now())
            conversation.waited = True
        elif conversation.read and not read:
            self.ready_set.discard(connection)
            self._unqueue(stream)
        conversation.read = read

    def _read(self, stream: Stream, turn: Turn, octets_max: int) -> int:
        conversation = _conversation(stream)
        if not conversation.read:
            return 0
        if conversation.waited or stream.heard_at < self.waited_at:
            conversation.waited = False
            if stream.connection.hung_up():
                # Nobody would hear the answers, so that all of it will come again.
                self._close(stream)
                return 0
        session = conversation.session
        unanswered = session.unanswered
        read = super()._read(stream, turn, octets_max)
        if session.unanswered > unanswered:
            self._taken[stream] = None
        if not read or not self._is_open(stream):
            return read
        if session.outgoing:
            self.answer(stream)
        elif conversation.full:
            self._watch(stream, conversation)
        if session.fault and self._is_open(stream):
            self._break_off(stream, session.fault.reason, session.fault.text)
        return read

    def _put(self, turn: Turn, receipt: Receipt | None = None) -> None:
        assert receipt is None
        if not self._taken:
            super()._put(turn)
            return
        shares = [(stream, _conversation(stream).share()) for stream in self._taken]
        self._taken.clear()
        streams = self.intake.streams
        receipt = Receipt(partial(_paid, streams, shares), partial(_broken, streams, shares))
        try:
            super()._put(turn, receipt)
        except BaseException:
            receipt.abandon()
            raise
        receipt.pay()

    def _resume(self, stream: Stream) -> None:
        if _conversation(stream).read:  # else it is full, and watched again when it is not
            super()._resume(stream)

    def _relieve(self, turn: Turn) -> None:
        streams = self.intake.streams
        while streams.buffered > self._limits.buffer_max:
            stream = streams.largest()
            session = _conversation(stream).session
            session.cut()
            assert session.fault
            self._break_off(stream, session.fault.reason, session.fault.text)

    def _late(self, stream: Stream, now: float) -> Late | None:
        conversation = _conversation(stream)
        if conversation.unsent:
            unread = now - conversation.unsent_at > self._limits.deadlines.unfinished
            return "unread" if unread else None
        if conversation.session.state in ("closing", "closed"):
            return None
        late = super()._late(stream, now)
        waits = not conversation.quiet if late == "idle" else not conversation.read
        return None if waits else late

    def _give_up(self, stream: Stream, late: Late, now: float) -> None:
        if late == "unread":  # it would not read our good-bye
            self._close(stream)
        else:
            super()._give_up(stream, late, now)

    def _break_off(self, stream: Stream, reason: str, text: str) -> None:
        """Close it; whatever has no answer will come again."""
        self.intake.account.connections_failed[reason] += 1
        self.resets.note(stream.connection.peer, text, self.intake.host.clock.now())
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        self.sending_set.discard(stream.connection)
        super()._close(stream)


async def answer_paid(reader: AnsweringReader) -> None:
    """Send answers as their receipts are paid, until cancelled."""
    streams = reader.intake.streams
    while True:
        while not streams.answered:
            await streams.news.park()
        for stream in list(streams.answered)[:TURN_CONNECTIONS]:
            del streams.answered[stream]
            reader.answer(stream)
        await trio.lowlevel.checkpoint()


async def answer_slow(reader: AnsweringReader) -> None:
    """Send on when a peer has taken some of its answers, until cancelled."""
    while True:
        await reader.sending_set.wait()
        table = reader.intake.streams.table
        for connection in reader.sending_set.ready():
            reader.answer(table[connection])  # type: ignore[index]


def _conversation(stream: Stream) -> Conversation:
    return cast("Conversation", stream.framer)


def _paid(streams: Streams, shares: Sequence[tuple[Stream, Share]]) -> None:
    for stream, share in shares:
        share.paid = True
        _conversation(stream).settle()
        streams.answer(stream)


def _broken(streams: Streams, shares: Sequence[tuple[Stream, Share]]) -> None:
    for stream, _ in shares:
        _conversation(stream).broken = True
        streams.answer(stream)
