"""Which destination has which senders' messages."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from relay.core.batch import Batch
from relay.core.portion import Portion, Spread
from relay.core.slots import SLOTS, Slots, slot_of
from tests.core.parts import RECEIVED_NS

SENDERS = [f"192.0.2.{n}" for n in range(100)]


@dataclass(slots=True, eq=False)
class Taker:
    name: str
    owned: int = 0
    weight: float = 1.0
    has: deque[Portion] = field(default_factory=deque)

    def give(self, portion: Portion) -> None:
        self.has.append(portion)

    def rows(self) -> list[tuple[str, int]]:
        return [(s, int(m)) for it in self.has
                for s, m in zip(it.batch.senders, it.batch.messages, strict=True)]  # fmt: skip


def batch(senders: Sequence[str], number: int) -> Portion:
    made = Batch.of([b"%d" % number] * len(senders), senders, "net", RECEIVED_NS)
    return Portion(made, Spread.of(made), range(len(made)), ())


def put(slots: Slots, portion: Portion) -> None:
    for taker, part in slots.route(portion).items():
        taker.give(part)


def test_a_connection_is_in_one_slot_and_senders_are_spread() -> None:
    assert slot_of("net", "192.0.2.1") == slot_of("net", "192.0.2.1")
    assert len({slot_of("net", it) for it in SENDERS}) > len(SENDERS) // 2
    assert slot_of("net", "192.0.2.1") != slot_of("other", "192.0.2.1")
    assert all(0 <= slot_of("net", it) < SLOTS for it in [*SENDERS, "", "\udcff"])


def test_a_batch_of_one_sender_is_not_taken_apart() -> None:
    slots = Slots()
    slots.join(Taker("a"))
    portion = batch(["x"] * 5, 0)
    [part] = slots.route(portion).values()
    assert part.batch is portion.batch
    assert part.places == range(5)


def test_who_joins_gets_a_fair_part_and_who_leaves_leaves_it_to_the_others() -> None:
    slots, a, b, c = Slots(), Taker("a"), Taker("b"), Taker("c")
    slots.join(a)
    put(slots, batch(SENDERS, 0))
    used = a.owned
    slots.join(b)
    assert abs(a.owned - b.owned) <= 1
    slots.join(c)
    assert sum(it.owned for it in (a, b, c)) == used
    assert c.owned >= used // 3 - 1
    slots.leave(b)
    slots.resume()
    put(slots, batch(SENDERS, 1))
    assert abs(a.owned - c.owned) <= 2
    assert a.owned + c.owned == used


def test_what_moves_waits_for_what_is_on_its_way() -> None:
    slots, a, b = Slots(), Taker("a"), Taker("b")
    slots.join(a)
    put(slots, batch(SENDERS, 0))
    slots.join(b)
    put(slots, batch(SENDERS, 1))
    assert not b.has
    slots.settled(a.has[0])
    assert {number for _, number in b.rows()} == {1}
    senders = {sender for sender, _ in b.rows()}
    assert len(SENDERS) // 3 < len(senders) < len(SENDERS)
    assert senders.isdisjoint({s for s, n in a.rows() if n == 1})


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ((1.0, 1.0), (128, 128)),
        ((3.0, 1.0), (192, 64)),
        ((0.5, 0.5, 1.0), (64, 64, 128)),
        ((1 / 256, 100.0), (0, 256)),  # it has what the other one leaves
        ((1 / 256, 1 / 256), (128, 128)),
    ],
)
def test_each_has_a_part_by_its_weight(weights: Sequence[float], parts: Sequence[int]) -> None:
    """Whether they are there from the start, come later, or get other weights."""
    everybody = batch([f"10.0.{n // 256}.{n % 256}" for n in range(5000)], 0)
    slots, takers = Slots(), [Taker(f"{n}", weight=it) for n, it in enumerate(weights)]
    for taker in takers:
        slots.join(taker)
    put(slots, everybody)
    assert [it.owned for it in takers] == pytest.approx(parts, abs=1)

    late, takers = Slots(), [Taker(f"{n}", weight=it) for n, it in enumerate(weights)]
    for taker in takers:
        late.join(taker)
        put(late, everybody)
    assert [it.owned for it in takers] == pytest.approx(parts, abs=1)

    for taker, weight in zip(takers, reversed(weights), strict=True):
        taker.weight = weight
    late.level()
    assert [it.owned for it in takers] == pytest.approx([*reversed(parts)], abs=2)


@dataclass(slots=True, eq=False)
class Stage:
    """Takers that come and go; each is to settle a sender's messages in the order of their put."""

    chance: random.Random
    slots: Slots = field(default_factory=Slots)
    takers: list[Taker] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)  # the last one of each sender
    put: dict[str, int] = field(default_factory=dict)

    def act(self, number: int) -> None:
        acts = [self.more] * 10 + [self.settle] * 7 + [self.join, self.leave, self.weigh]
        self.chance.choice(acts)(number)

    def more(self, number: int) -> None:
        senders = self.chance.sample(SENDERS, self.chance.choice((1, 2, 30)))
        put(self.slots, batch(senders, number))
        self.put.update(dict.fromkeys(senders, number))

    def settle(self, _: int = 0) -> None:
        taker = self.chance.choice(self.takers)
        if not taker.has:
            return
        portion = taker.has.popleft()
        for sender, message in zip(portion.batch.senders, portion.batch.messages, strict=True):
            assert self.settled.get(sender, -1) < int(message)
            self.settled[sender] = int(message)
        self.slots.settled(portion)

    def join(self, number: int) -> None:
        self.takers.append(Taker(f"{number}"))
        self.slots.join(self.takers[-1])

    def leave(self, _: int) -> None:
        if len(self.takers) == 1:
            return
        gone = self.takers.pop(self.chance.randrange(len(self.takers)))
        self.slots.leave(gone)
        parts: dict[Taker, list[Portion]] = {}
        for portion in gone.has:
            for to, part in self.slots.route(portion, again=True).items():
                assert isinstance(to, Taker)
                parts.setdefault(to, []).append(part)
        for to, row in parts.items():
            to.has.extendleft(reversed(row))
        self.slots.resume()

    def weigh(self, _: int) -> None:
        self.chance.choice(self.takers).weight = self.chance.choice((1 / 256, 1.0, 3.0))
        self.slots.level()

    def check(self) -> None:
        where: dict[str, Taker] = {}
        for taker in self.takers:
            rows: dict[str, list[int]] = {}
            for sender, number in taker.rows():
                assert where.setdefault(sender, taker) is taker
                rows.setdefault(sender, []).append(number)
            assert all(row == sorted(row) for row in rows.values())


@pytest.mark.parametrize("seed", range(200))
def test_however_they_come_and_go_each_sender_s_messages_are_with_one_and_in_order(
    seed: int,
) -> None:
    stage = Stage(random.Random(seed))
    stage.join(0)
    for number in range(150):
        stage.act(number)
        stage.check()
    while any(taker.has for taker in stage.takers):
        stage.settle()
    assert stage.settled == stage.put
