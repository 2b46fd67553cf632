"""What a planted bug makes of the code that ships: each takes that, and gives what is wrong."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import trio

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.backlog import Lost, Spool
from relay.core.batch import Batch
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.dead_letters import DeadLetters
from relay.core.expiry import Expiry
from relay.core.intake import Intake
from relay.core.lease import ChannelLease
from relay.core.mask import Masking
from relay.core.match import Views
from relay.core.numbering import Numbering
from relay.core.pipe import Pipe
from relay.core.portion import Portion, Spread
from relay.core.queue import Entry, Queue
from relay.core.receipt import Receipt
from relay.core.router import Router
from relay.core.rules import Rules
from relay.core.sample import Sampling
from relay.core.share import Share
from relay.core.shed import Shedding
from relay.core.spooling import Spooling
from relay.core.upstreams import Upstreams
from relay.destinations.files import OpenFiles
from relay.destinations.outstanding import Outstanding
from relay.destinations.stream import StreamSession
from relay.destinations.transit import Transit
from relay.listeners.acceptance import Acceptance
from relay.listeners.reader import Reader
from relay.listeners.turn import Turn
from relay.spool.store import Store
from relay.supervisor.delivering import Delivering
from relay.supervisor.state import Relay
from relay.system.ports import DatagramSender
from relay.wire.frames import Framed
from relay.wire.hop import last_passage
from relay.wire.relp.server import ServerSession
from tests.simulation.sockets import SimulatedReceiver

Shipped = Callable[..., Any]

# -- the books


def counts_delivered_twice(settle: Shipped) -> Shipped:
    def settle_wrong(self: Channel, messages: int, level: Confirmation) -> None:
        settle(self, messages, level)
        self.account.delivered[level] += messages > 5

    return settle_wrong


def forgets_a_drop(drop: Shipped) -> Shipped:
    def drop_wrong(self: PipeAccount, messages: int, reason: Drop, *, notice: bool = False) -> None:
        if reason is not Drop.OLDEST:
            drop(self, messages, reason, notice=notice)

    return drop_wrong


def tells_of_notices(drop: Shipped) -> Shipped:
    def drop_wrong(self: PipeAccount, messages: int, reason: Drop, *, notice: bool = False) -> None:
        drop(self, messages, reason, notice=notice)
        if notice:
            self.on_loss(self, reason, messages)

    return drop_wrong


def does_not_count_again(recall: Shipped) -> Shipped:
    def recall_wrong(self: Channel, *, replay: bool) -> None:
        before = self.account.retried
        recall(self, replay=replay)
        self.account.retried = before

    return recall_wrong


def counts_echoes(settle: Shipped) -> Shipped:
    def settle_wrong(self: Channel, messages: int, level: Confirmation) -> None:
        echoes = self._queue.lent_echoes
        settle(self, messages, level)
        self.account.delivered[level] += min(messages, echoes)

    return settle_wrong


def loses_the_head_at_recall(recall: Shipped) -> Shipped:
    def recall_wrong(self: Queue) -> int:
        recalled: int = recall(self)
        if len(self.waiting) > 2:
            entry = self.waiting.popleft()
            self.waiting_messages -= len(entry.batch)
            self.octets -= entry.batch.octets
        return recalled

    return recall_wrong


def recalls_in_wrong_order(recall: Shipped) -> Shipped:
    def recall_wrong(self: Queue) -> int:
        back = len(self.lent)
        recalled: int = recall(self)
        entries = [self.waiting.popleft() for _ in range(min(back, len(self.waiting)))]
        self.waiting.extendleft(entries)
        return recalled

    return recall_wrong


def adds_in_front(add: Shipped) -> Shipped:
    def add_wrong(self: Queue, entry: Entry) -> None:
        add(self, entry)
        if self.waiting_messages > 4:
            self.waiting.rotate(1)

    return add_wrong


def drops_without_end(_: Shipped) -> Shipped:
    return lambda self, reason: 0


# -- the way in


def does_not_wait(_: Shipped) -> Shipped:
    async def room(self: Intake) -> None:
        await trio.lowlevel.checkpoint()

    return room


def ignores_the_filter(_: Shipped) -> Shipped:
    def put(self: Pipe, batch: Batch, views: object, *, full: bool | None = None) -> None:
        self.channel.put(batch, full=full)

    return put


def feeds_one_pipe(put: Shipped) -> Shipped:
    def put_wrong(self: Router, batch: Batch) -> None:
        routes = self._routes
        self._routes = {name: pipes[:1] for name, pipes in routes.items()}
        put(self, batch)
        self._routes = routes

    return put_wrong


def loses_the_last_of_a_turn(put: Shipped) -> Shipped:
    def put_wrong(self: Reader, turn: Turn, receipt: Receipt | None = None) -> None:
        if len(turn.messages) > 3:
            del turn.messages[-1], turn.senders[-1]
        put(self, turn, receipt) if receipt else put(self, turn)

    return put_wrong


def loses_a_datagram(take: Shipped) -> Shipped:
    def take_wrong(socket: SimulatedReceiver, intake: Intake) -> tuple[int, int]:
        if len(socket.queue) > 3:
            socket.receive(1, 1)
        taken: tuple[int, int] = take(socket, intake)
        return taken

    return take_wrong


def books_no_kernel_drops(_: Shipped) -> Shipped:
    return lambda sockets, intake: None


def stops_without_reading(_: Shipped) -> Shipped:
    async def drain(reader: Reader, acceptance: Acceptance) -> None:
        while not acceptance.finished():
            await trio.lowlevel.checkpoint()

    return drain


def answers_at_once(_: Shipped) -> Shipped:
    return lambda self, end, receipt: None


def answers_what_is_read(feed: Shipped) -> Shipped:
    def feed_wrong(self: ServerSession, data: bytes) -> list[bytes]:
        found: list[bytes] = feed(self, data)
        if self.unanswered and found:
            self.answer(0)
            self.outgoing += b"%d rsp 6 200 OK\n" % self._oldest()
        return found

    return feed_wrong


# -- the way out


def settles_the_cut_frame(complete: Shipped) -> Shipped:
    def complete_wrong(self: Framed, octets: int) -> int:
        messages: int = complete(self, octets)
        return min(self.messages, messages + (octets > 0))

    return complete_wrong


def settles_before_sending(settle: Shipped) -> Shipped:
    def settle_wrong(self: StreamSession, *, exact: bool = True) -> None:
        self._transit.sent, sent = self._transit.outstanding.end, self._transit.sent
        settle(self, exact=exact)
        self._transit.sent = sent

    return settle_wrong


def believes_it_is_acknowledged(look: Shipped) -> Shipped:
    def look_wrong(self: Transit) -> bool:
        before = self.acknowledged
        look(self)
        self.acknowledged = self.sent
        return self.sent > before

    return look_wrong


def never_replays(_: Shipped) -> Shipped:
    return lambda self: 0


def confirms_without_an_end(_: object) -> property:
    return property(lambda self: True)


def keeps_what_it_had(close: Shipped) -> Shipped:
    def close_wrong(self: Share) -> tuple[Sequence[Portion], Sequence[Portion]]:
        _, rest = close(self)
        return [], rest

    return close_wrong


def settles_from_the_front(settle: Shipped) -> Shipped:
    def settle_wrong(self: Spread, places: Sequence[int], level: Confirmation) -> None:
        settle(self, range(self.gone, self.gone + len(places)), level)

    return settle_wrong


def passes_nothing_on(_: Shipped) -> Shipped:
    return lambda self, standing: None


def waits_for_no_room(_: Shipped) -> Shipped:
    async def lend(
        self: ChannelLease, messages_max: int = 1024, octets_max: int = 1 << 18
    ) -> Sequence[Batch]:
        while not self._can_lend(self._held):
            await trio.lowlevel.checkpoint()
        return self._held._queue.lend(messages_max, octets_max)

    return lend


def passes_half_a_batch(pass_to: Shipped) -> Shipped:
    def pass_wrong(self: Outstanding, octets: int, *, exact: bool = True) -> int:
        messages: int = pass_to(self, min(self.end, octets + 300), exact=exact)
        return messages

    return pass_wrong


def settles_what_is_refused(_: Shipped) -> Shipped:
    return lambda answer: True


def takes_no_room_for_sent(send_run: Shipped) -> Shipped:
    def send_wrong(
        sender: DatagramSender, messages: Sequence[bytes], start: int
    ) -> tuple[int, OSError | None]:
        taken, fault = send_run(sender, messages, start)
        return (taken, fault) if fault else (len(messages) - start, None)

    return send_wrong


def ignores_a_short_write(append: Shipped) -> Shipped:
    async def append_wrong(self: OpenFiles, path: str, lines: Sequence[bytes]) -> int:
        await append(self, path, lines)
        return len(lines)

    return append_wrong


def gives_up(_: Shipped) -> Shipped:
    return lambda uniform: iter([1e9] * 10)


def wakes_nobody(_: Shipped) -> Shipped:
    def wake(self: Channel) -> None:
        self._arrival.unpark_all()
        if self.is_empty:
            self._emptied.unpark_all()

    return wake


def writes_no_letter(_: Shipped) -> Shipped:
    def take(
        self: DeadLetters, refused: Batch, account: PipeAccount, reason: Drop, why: str, by: str
    ) -> None:
        account.hand_over(len(refused), reason)

    return take


# -- the disk


def commits_without_sync(_: Shipped) -> Shipped:
    def commit(self: Store) -> None:
        self._dirty = self._new_names = False
        self.committed = self.next

    return commit


def forgets_the_page_at_settlement(_: Shipped) -> Shipped:
    def left(self: Channel) -> None:
        self.spooling.left(self.head)
        self.debts.secured(self.head)
        self.wake()

    return left


def writes_no_page(_: Shipped) -> Shipped:
    return lambda self, account, **numbers: None


def believes_no_page(_: Shipped) -> Shipped:
    return lambda self: {}


def takes_before_it_is_open(_: Shipped) -> Shipped:
    return lambda self, name: True


def forgets_who_waits(_: Shipped) -> Shipped:
    return lambda self, number: 0


def knows_no_holes(open_: Shipped) -> Shipped:
    def open_wrong(self: Spooling, spool: Spool, **found: Any) -> None:  # noqa: ANN401
        open_(self, spool, **{**found, "holes": ()})

    return open_wrong


def takes_what_is_not_durable(accept: Shipped) -> Shipped:
    def accept_wrong(self: Spooling, found: Sequence[Entry | Lost]) -> None:
        backlog = self._backlog
        committed, backlog.committed = backlog.committed, self._channel.next
        accept(self, found)
        backlog.committed = committed

    return accept_wrong


def renumbers_nothing(_: Shipped) -> Shipped:
    return lambda self, delta, *, again: None


def gives_nothing_up(_: Shipped) -> Shipped:
    return lambda self: ()


def begins_anew_when_it_comes_back(left: Shipped) -> Shipped:
    async def retire_wrong(relay: Relay, pipe: Delivering) -> None:
        await left(relay, pipe)
        relay.orphans.pop(pipe.name, None)

    return retire_wrong


# -- rules and hop records


def masks_the_first_of_a_batch(apply: Shipped) -> Shipped:
    def apply_wrong(self: Masking, views: Views) -> tuple[Batch, int]:
        masked, changed = apply(self, views)
        return masked.with_messages([masked.messages[0], *views.batch.messages[1:]]), changed

    return apply_wrong


def recalls_what_was_not_masked(apply: Shipped) -> Shipped:
    """As if masks were something for the way out, and forgotten when it is gone a second time."""
    originals: dict[int, tuple[Batch, Batch]] = {}  # by the masked one, which is kept alive
    recall = Queue.recall

    def recall_wrong(self: Queue) -> int:
        for entry in self.lent:
            if id(entry.batch) in originals:
                entry.batch = originals[id(entry.batch)][1]
        return recall(self)

    def apply_wrong(
        self: Rules, channel: Channel, views: Views, places: Sequence[int]
    ) -> Batch | None:
        masked: Batch | None = apply(self, channel, views, places)
        if masked is not None and len(masked) == len(places):
            before = replace(views.batch.select(places), octets=masked.octets)
            originals[id(masked)] = masked, before
            channel._queue.__class__ = _queue_that(recall_wrong)
        return masked

    return apply_wrong


def _queue_that(recalls: Callable[[Queue], int]) -> type[Queue]:
    return type("Forgetful", (Queue,), {"__slots__": (), "recall": recalls})


def masks_one_secret(mask: Shipped) -> Shipped:
    def mask_wrong(self: Masking, message: bytes) -> bytes:
        at = message.find(b" - - - ") + 1
        masked: bytes = mask(self, message[:at]) if at else message
        return masked + message[at:] if masked != message[:at] else mask(self, message)

    return mask_wrong


def rewrites_without_senders(with_messages: Shipped) -> Shipped:
    def with_messages_wrong(self: Batch, messages: Sequence[bytes]) -> Batch:
        changed: Batch = with_messages(self, messages)
        return replace(changed, senders=["local"] * len(messages))

    return with_messages_wrong


def books_no_shed(drop: Shipped) -> Shipped:
    def drop_wrong(channel: Channel, messages: int, reason: Drop) -> None:
        drop(channel, messages, Drop.FULL if reason is Drop.SHED else reason)

    return drop_wrong


def forgets_what_is_shed(drop: Shipped) -> Shipped:
    def drop_wrong(channel: Channel, messages: int, reason: Drop) -> None:
        if reason is not Drop.SHED:
            drop(channel, messages, reason)

    return drop_wrong


def sheds_whatever_room_there_is(keep: Shipped) -> Shipped:
    def keep_wrong(
        self: Shedding, views: object, places: Sequence[int], _fullness: float
    ) -> Sequence[int]:
        kept: Sequence[int] = keep(self, views, places, 1.0)
        return kept

    return keep_wrong


def samples_each_batch_anew(keep: Shipped) -> Shipped:
    def keep_wrong(self: Sampling, views: object, places: Sequence[int]) -> Sequence[int]:
        self._seen = [0] * len(self._seen)
        kept: Sequence[int] = keep(self, views, places)
        return kept

    return keep_wrong


def books_the_expired_twice(drop: Shipped) -> Shipped:
    def drop_wrong(self: Expiry, channel: Channel) -> None:
        before = channel.account.dropped[Drop.EXPIRED]
        drop(self, channel)
        channel.account.drop(channel.account.dropped[Drop.EXPIRED] - before, Drop.EXPIRED)

    return drop_wrong


def numbers_again_after_a_crash(open_channel: Shipped) -> Shipped:
    def open_wrong(relay: Relay, account: PipeAccount, bounds: Bounds) -> Channel:
        channel: Channel = open_channel(relay, account, bounds)
        if relay.page is not None and relay.page.same_boot:
            channel.first = channel.next = max(0, channel.next - 3)
        return channel

    return open_wrong


def keeps_the_epoch_after_a_power_cut(renew: Shipped) -> Shipped:
    return lambda self, fresh: renew(self, bytes(8)) and bytes(8)


def keeps_the_epoch_of_a_late_disk(renumber: Shipped) -> Shipped:
    def renumber_wrong(self: Spooling, delta: int, *, again: bool) -> None:
        before = self._channel.account.renumbered
        renumber(self, delta, again=again)
        self._channel.account.renumbered = before

    return renumber_wrong


def numbers_what_is_dropped(drop: Shipped) -> Shipped:
    def drop_wrong(channel: Channel, messages: int, reason: Drop) -> None:
        drop(channel, messages, reason)
        channel.next += messages

    return drop_wrong


def numbers_what_is_lent(lend: Shipped) -> Shipped:
    """Each lending from the first one's number on, as if none had been lent before."""

    def lend_wrong(self: Queue, *bounds: int, numbered: bool = False) -> list[Batch]:
        batches: list[Batch] = lend(self, *bounds, numbered=numbered)
        return [it.numbered(it.numbers[0] + 1) if it.numbers else it for it in batches]

    return lend_wrong


def knows_no_duplicates(take: Shipped) -> Shipped:
    def take_wrong(self: Numbering, first: int, end: int, now: float) -> tuple[object, int]:
        again, late = take(self, first, end, now)
        return again[1:], late

    return take_wrong


def books_epochs_as_they_end(look: Shipped) -> Shipped:
    """The newest first."""

    def look_wrong(self: Upstreams, messages: Sequence[bytes], now: float) -> int:
        passages = [last_passage(it) for it in messages]
        epochs = dict.fromkeys(it.epoch for it in passages if it)
        for epoch in reversed(epochs):
            look(self, [m for m, it in zip(messages, passages, strict=True)
                        if it and it.epoch == epoch], now)  # fmt: skip
        return len(messages)

    return look_wrong
