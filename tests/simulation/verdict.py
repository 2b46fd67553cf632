"""What must be true of one pipe in the end, over all lives of the process."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from relay.core.account import Drop
from tests.simulation.configuration import PipePlan
from tests.simulation.forms import form_of, without_stamps
from tests.simulation.life import Book
from tests.simulation.messages import SECRET, identify, is_cut_count, is_own, whole
from tests.simulation.network import UNIX_DATAGRAM_MAX
from tests.simulation.receivers import StreamServer
from tests.simulation.stream import End
from tests.simulation.world import World

RULES = {
    "ttl": Drop.EXPIRED,
    "rate_limit": Drop.RATE,
    "shed": Drop.SHED,
    "sample": Drop.SAMPLED,
}  # what each key of a pipe drops for


@dataclass(slots=True, eq=False)
class Verdict:
    """On one pipe, over all lives of the process."""

    world: World
    pipe: PipePlan
    books: Sequence[Book]
    offered: Counter[bytes] = field(default_factory=Counter)  # copies that passed the filter, as
    # the pipe sends them but for hop records
    rows: list[list[bytes]] = field(init=False)  # copies that left whole, in order, by address
    out: list[bytes] = field(init=False)  # all of them
    delivered: Counter[bytes] = field(init=False)  # copies that left as `confirm` says
    read: Counter[bytes] = field(init=False)  # copies that the peer's application has

    def __post_init__(self) -> None:
        world, pipe = self.world, self.pipe
        offered = world.truth.offered[pipe.name]
        for message, copies in offered.items():
            if pipe.needle in message:
                self.offered[form_of(pipe, message)] += copies
        both = zip(pipe.destinations, pipe.addresses, strict=True)
        left = [
            [without_stamps(pipe, messages) for messages in _left(world, pipe, destination)]
            for destination in both
        ]
        self.rows = [out for out, _, _ in left]
        self.out = [message for row in self.rows for message in row]
        self.delivered = Counter(message for _, delivered, _ in left for message in delivered)
        self.read = Counter(message for _, _, read in left for message in read)

    def judge(self) -> None:
        self._nothing_is_invented()
        self._order_is_kept()
        self._copies_are_counted()
        self._nothing_is_missing()
        self._books_agree()
        self._reasons_are_possible()
        self._yes_was_meant()
        self._nobody_pays_twice()
        self._rules_agree()
        self._secrets_are_kept()
        self._next_hop_agrees()

    # -- the messages

    def _nothing_is_invented(self) -> None:
        for message in {*self.out, *self.read}:
            known = message in self.offered
            assert known, f"{self.pipe.name}: nobody has put {message!r:.300}"
            intact = is_own(message) or identify(message) or is_cut_count(message)
            assert intact, f"damaged: {message!r:.300}"

    def _order_is_kept(self) -> None:
        """Of each source, first copies leave in order for each destination.

        What has left for two of them was sent again to one, maybe behind what is younger.
        """
        if self._power_cut or self._opened_late:
            return
        in_both = set(self.rows[0]).intersection(*self.rows[1:]) if self.pipe.twin else set()
        for row in self.rows:
            self._row_is_in_order(row, in_both)

    def _row_is_in_order(self, row: Sequence[bytes], without: Set[bytes]) -> None:
        seen: set[bytes] = set()
        last: dict[str, int] = {}
        for message in row:
            found = identify(message)
            if found is None or message in seen or message in without:
                continue
            seen.add(message)
            source, number = found
            if self.offered[message] == 1:
                before = last.get(source, -1)
                assert number > before, f"{self.pipe.name}: {source} {number} after {before}"
                last[source] = number

    def _copies_are_counted(self) -> None:
        """A message leaves more often than it was put only where the books say so."""
        copies = sum((Counter(self.out) - self.offered).values())
        again = self._total("retried") + self._total("replayed")
        again += self._given_up + self._total("recovered") * self._cursor_is_old
        again += sum(book.held for book in self.books)  # at a crash: lent, and nobody knows how far
        if any(life.power_cut for life in self.world.lives):
            return
        assert copies <= again, f"{self.pipe.name}: {copies} copies, {again} counted"
        if self.pipe.confirm == "sent" and not self._killed:
            assert not copies, f"{self.pipe.name}: {copies} copies of what was sent"

    def _nothing_is_missing(self) -> None:
        """What the peer lacks was dropped, or is lost as the level of its confirmation says."""
        name = self.pipe.name
        missing = sum((_distinct(self.offered) - _distinct(self.read)).values())
        # What a power cut has damaged was at risk; each further one may find it again.
        dropped = self._dropped - sum(book.dropped[Drop.DAMAGED] for book in self.books)
        lost = missing - dropped - self._at_risk
        if name in self.world.removed:  # sent again while there was no such pipe
            lost -= self._total("owed")
        if lost > 0:
            self.world.sometimes["lost beyond confirmation"] += 1
        if self.pipe.confirm in ("confirmed", "stored") or self._replays_enough:
            assert lost <= 0, (
                f"{name}: {missing} missing, {dropped} dropped, "
                f"{self._at_risk} at risk: {self._examples()}"
            )
        elif self.pipe.kind in ("tcp", "unix-stream"):
            unread = _unread(self.world, self.pipe)
            assert lost <= unread, f"{name}: {lost} lost, {unread} were unread"
            if not self._killed:
                doubt = self._total("in_doubt")
                assert lost <= doubt, f"{name}: {lost} lost, {doubt} in doubt"

    def _yes_was_meant(self) -> None:
        """Of what a RELP sender was told yes, nothing is missing where the pipe keeps."""
        if not self.pipe.keeps or self.pipe.name in self.world.removed:
            return
        fed = "relp" in self.world.first_plan.feeding(self.pipe.name)
        answered = [
            form_of(self.pipe, it) for it in self.world.truth.answered
            if fed and self.pipe.needle in it
            and not (self.pipe.letters and len(it) > UNIX_DATAGRAM_MAX)  # a letter of it has gone
        ]  # fmt: skip
        gone = Counter(answered) - _distinct(Counter(self.out))
        expired = sum(
            book.dropped[Drop.EXPIRED] for book in self.books
        )  # on disk, and then too old
        assert gone.total() <= expired, f"{self.pipe.name}: answered and gone: {names(gone)}"

    def _nobody_pays_twice(self) -> None:
        """What its sender still had, no crash has cost."""
        if self.pipe.keeps and set(self.world.first_plan.feeding(self.pipe.name)) == {"relp"}:
            cost = sum(book.dropped[Drop.CRASH] for book in self.books)
            assert not cost, f"{self.pipe.name}: {cost} lost in crashes, which RELP senders have"

    # -- the rules and the hop records

    def _rules_agree(self) -> None:
        """What rules have dropped is in the books by reason, and never leaves."""
        name, watch = self.pipe.name, self.world.rules[self.pipe.name]
        assert not watch.faults, f"{name}: {watch.faults[0]}"
        for reason in RULES.values():
            booked = sum(book.dropped[reason] for book in self.books)
            dropped = watch.dropped[reason]
            assert booked == dropped, f"{name}: {booked} booked as {reason}, {dropped} dropped"
        gone = Counter({form_of(self.pipe, it): n for it, n in watch.gone.items()})
        for message in {*self.out, *self.read}:
            assert gone[message] < self.offered[message], f"{name}: {message!r:.200} was dropped"

    def _secrets_are_kept(self) -> None:
        """Nothing that a masking pipe sends or keeps has what it masks, whole frames or not."""
        world, pipe = self.world, self.pipe
        if "mask" not in pipe.keys:
            return
        assert pipe.name not in world.leaks, f"{pipe.name}: a secret was on its disk"
        files = [*world.storage.rotated, *world.storage.files.items()]
        paths = {pipe.address, pipe.letters}
        data = [bytes(node.content) for path, node in files if path in paths]
        for address in pipe.addresses:
            data += [bytes(end.out.data) for end in world.internet.outgoing[address]]
            data += world.internet.handed[address]
        for text in (*data, *self.out, *self.read):
            assert SECRET not in text, f"{pipe.name}: a secret has left in {text[:300]!r}"

    def _next_hop_agrees(self) -> None:
        hop = self.world.hops.get(self.pipe.name)
        if hop is None:
            return
        if self.pipe.kind in ("file", "memory"):
            hop.take(_left(self.world, self.pipe, (self.pipe.name, self.pipe.address))[2], now=0.0)
        anew = self._power_cut or self._total("renumbered") > 0
        hop.judge(self.world.truth, one_epoch=not anew)

    # -- the books

    def _books_agree(self) -> None:
        name = self.pipe.name
        received = self._total("received") - self._total("filtered")
        offered = self.offered.total()
        assert received == offered, f"{name}: {received} received, {offered} were put"
        self._recovery_agrees()
        self._delivery_agrees()

    def _recovery_agrees(self) -> None:
        """What was held at an end that was no power cut, a later process has found again."""
        held = sum(book.held for book in self.books[:-1])
        owed = sum(book.owed for book in self.books[:-1])  # their senders have sent them again
        recovered = self._total("recovered")
        assert not self.books[-1].held, f"{self.pipe.name}: {self.books[-1].held} held in the end"
        if self._power_cut:
            return
        name, given_up = self.pipe.name, self._given_up
        assert held - owed <= recovered, (
            f"{name}: {recovered} recovered, {held} were held, {owed} of them not answered"
        )
        assert recovered <= held + given_up or self._cursor_is_old, (
            f"{name}: {recovered} recovered, {held} were held, {given_up} given up"
        )
        self.world.sometimes["found again what was given up"] += recovered > held

    def _delivery_agrees(self) -> None:
        name, confirm = self.pipe.name, self.pipe.confirm
        booked, copies = self._delivered, self.delivered.total()
        others = sum(sum(n for level, n in book.delivered.items() if level != confirm)
                     for book in self.books)  # fmt: skip
        assert not others, f"{name}: {others} delivered on another level than {confirm}"
        if confirm == "acked":
            assert booked <= copies, f"{name}: {booked} delivered, {copies} were acknowledged"
            if not self._killed and self.offered == _distinct(self.offered):
                copies = len(self.delivered)
                assert booked == copies, f"{name}: {booked} delivered, {copies} are {confirm}"
        elif self.pipe.kind == "file" or self._killed or self.pipe.balances:
            # In balance what one has confirmed beyond what another one has not comes again when
            # both are down.
            again = self._total("retried") + sum(book.held for book in self.books)
            again += self._given_up
            assert copies - again <= booked <= copies, f"{name}: {booked} stored, {copies} lines"
        elif self.pipe.destination.get("confirm") == "epoch":
            assert booked <= copies, f"{name}: {booked} confirmed, {copies} were read"
        else:
            assert booked == copies, f"{name}: {booked} delivered, {copies} are {confirm}"

    def _reasons_are_possible(self) -> None:
        world, name = self.world, self.pipe.name
        possible = {Drop.FULL}
        if self.pipe.keys["overflow"] == "drop-oldest":
            possible.add(Drop.OLDEST)
        if any(life.stopping for life in world.lives):
            possible.add(Drop.SHUTDOWN)
        if name in world.removed:
            possible.add(Drop.REMOVED)
        if any(life.killed for life in world.lives[:-1]):
            possible.add(Drop.CRASH)
        if self._power_cut:
            possible.add(Drop.DAMAGED)
        if self.pipe.letters:
            possible.add(Drop.TOO_LARGE)
        possible |= {drop for key, drop in RULES.items() if key in self.pipe.keys}
        for book in self.books:
            found = {reason for reason, number in book.dropped.items() if number}
            assert found <= possible, f"{name}: dropped for {sorted(found - possible)}"
            own_or_unix = {"internal", "unix", "stream"} & set(world.first_plan.feeding(name))
            if self.pipe.keys["overflow"] == "block" and not own_or_unix:
                assert not book.dropped[Drop.FULL], f"{name}: drops, though it blocks"

    # -- below

    def _total(self, what: str) -> int:
        return sum(getattr(book, what) for book in self.books)

    @property
    def _dropped(self) -> int:
        return sum(sum(book.dropped.values()) for book in self.books)

    @property
    def _delivered(self) -> int:
        return sum(sum(book.delivered.values()) for book in self.books)

    @property
    def _given_up(self) -> int:
        """Booked as dropped while a thread still had it, or a disk that did not answer."""
        reasons = (Drop.SHUTDOWN, Drop.REMOVED)
        return sum(book.dropped[reason] for book in self.books for reason in reasons)

    @property
    def _cursor_is_old(self) -> bool:
        """The log has said that messages may come twice; they are counted as recovered."""
        lines = [line for life in self.world.lives for line in life.log.lines]
        return any("cursor cannot be saved" in line for line in lines)

    @property
    def _opened_late(self) -> bool:
        """While the disk failed at a start, newer messages were delivered from memory."""
        name = self.pipe.name
        return any(
            name in life.books
            and life.books[name].recovered
            and any(f"spool of pipe {name} fails" in line for line in life.log.lines)
            for life in self.world.lives
        )

    @property
    def _killed(self) -> bool:
        return any(life.killed for life in self.world.lives)

    @property
    def _power_cut(self) -> bool:
        return any(life.power_cut for life in self.world.lives)

    @property
    def _at_risk(self) -> int:
        """What the power cuts may have taken, as the gauge said at their moments."""
        lives = self.world.lives
        if not self._power_cut:
            return 0
        # What a crash before the cut has taken is known from the page alone, which the cut takes.
        books = [
            it.books[self.pipe.name] for it in lives if it.killed and self.pipe.name in it.books
        ]
        return sum(book.at_risk for book in books)

    @property
    def _replays_enough(self) -> bool:
        """No break can take more than what is sent again."""
        replays = self.pipe.confirm == "acked" and self.pipe.destination["replay"] != "0B"
        # The tail ends with the process, and with what the destination is.
        told = "fault: reload" in self.world.sometimes or self.pipe.name in self.world.removed
        # One that gives way to a better one may have read less than it seemed.
        return replays and len(self.world.lives) == 1 and not told and not self.pipe.twin

    def _examples(self) -> str:
        return names(_distinct(self.offered) - _distinct(self.read))


def _left(
    world: World, pipe: PipePlan, destination: tuple[str, str]
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """What left for a destination whole; of that, as its `confirm` says; and what was read."""
    name, address = destination
    if pipe.kind == "memory":
        lines = [line for life in world.lives for line in life.rings.get(pipe.name, ([], 0))[0]]
        return lines, lines, lines
    if pipe.kind == "file":
        nodes = [node for path, node in world.storage.rotated if path == address]
        nodes += [node for path, node in world.storage.files.items() if path == address]
        lines = [line for node in nodes for line in bytes(node.content).split(b"\n")[:-1]]
        return lines, lines, lines
    read = world.servers[name].read
    if pipe.kind in ("udp", "unix-datagram"):
        handed = world.internet.handed[address]
        return handed, handed, read
    out: list[bytes] = []
    delivered: list[bytes] = []
    for end in world.internet.outgoing[address]:
        messages, ends = whole(bytes(end.out.data), pipe.framing)
        out += messages
        limit = _confirmed_octets(end, pipe)
        if pipe.kind == "relp":
            delivered += messages[: _answers(end)]
        else:
            delivered += [it for it, at in zip(messages, ends, strict=True) if at <= limit]
    return out, delivered, read


def _confirmed_octets(end: End, pipe: PipePlan) -> int:
    if pipe.confirm == "sent":
        return end.out.sent
    if pipe.confirm == "acked":
        return end.out.acked if end.acked_at_close is None else end.acked_at_close
    return end.out.read


def _answers(end: End) -> int:
    """How many transactions in a row the relay has read a 200 for; `open` is the first."""
    said = bytes(end.into.data[: end.into.read])
    codes = dict(re.findall(rb"(\d+) rsp \d+ (\d+)", said))
    answers = 0
    while codes.get(b"%d" % (answers + 2)) == b"200":
        answers += 1
    return answers


def _unread(world: World, pipe: PipePlan) -> int:
    """Messages that left whole on connections whose peer has not read all of them."""
    assert all(isinstance(world.servers[it], StreamServer) for it in pipe.destinations)
    return sum(
        sum(at > end.out.read for at in whole(bytes(end.out.data), pipe.framing)[1])
        for address in pipe.addresses
        for end in world.internet.outgoing[address]
    )


def _distinct(messages: Iterable[bytes]) -> Counter[bytes]:
    return Counter(set(messages))


def names(messages: Counter[bytes]) -> str:
    found = [identify(message) or message[:60] for message in messages]
    return f"{len(found)}: {found[:5]}"
