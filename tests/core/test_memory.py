from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from relay.core.memory import MESSAGE_OVERHEAD, Memory, cost
from tests.core.parts import check_memory


@dataclass(slots=True, eq=False)
class Member:
    times_freed: int = 0

    def freed(self) -> None:
        self.times_freed += 1


def test_a_message_costs_its_octets_and_an_overhead() -> None:
    assert cost(0, 0) == 0
    assert cost(3, 10) == 10 + 3 * MESSAGE_OVERHEAD


def test_half_is_guaranteed_in_equal_shares() -> None:
    memory = Memory(1000)
    assert memory.guarantee == 500
    members = [Member() for _ in range(4)]
    for member in members:
        memory.join(member)
    assert memory.guarantee == 125
    memory.join(members[0])
    assert memory.guarantee == 125
    memory.leave(members[0])
    memory.leave(members[0])
    assert memory.guarantee == 166


def test_the_other_half_is_lent_to_whoever_needs_it() -> None:
    memory = Memory(1000)
    greedy, modest = Member(), Member()
    memory.join(greedy)
    memory.join(modest)
    memory.change(greedy, 749)
    assert not memory.exhausted(greedy)
    memory.change(greedy, 1)
    assert memory.borrowed == 500
    assert memory.exhausted(greedy)
    assert not memory.exhausted(modest)
    memory.change(modest, 249)
    assert not memory.exhausted(modest)
    memory.change(modest, 1)
    assert memory.exhausted(modest)


def test_what_one_gives_back_is_told_to_all() -> None:
    memory = Memory(1000)
    greedy, waiting = Member(), Member()
    memory.join(greedy)
    memory.join(waiting)
    memory.change(greedy, 800)
    memory.change(waiting, 300)
    told = waiting.times_freed
    memory.change(greedy, -50)
    assert waiting.times_freed == told, "still more than half is lent"
    memory.change(greedy, -60)
    assert waiting.times_freed == told + 1
    assert not memory.exhausted(waiting)
    memory.change(greedy, -60)
    assert waiting.times_freed == told + 1, "once is enough"


def test_greater_shares_are_told() -> None:
    memory = Memory(1000)
    greedy, waiting, idle = Member(), Member(), Member()
    for member in (greedy, waiting, idle):
        memory.join(member)
    memory.change(greedy, 1000)
    memory.change(waiting, 200)
    assert memory.exhausted(waiting)
    told = waiting.times_freed
    memory.leave(idle)
    assert memory.exhausted(greedy)
    assert not memory.exhausted(waiting)
    assert waiting.times_freed > told
    told = greedy.times_freed
    memory.resize(5000)
    assert not memory.exhausted(greedy)
    assert greedy.times_freed > told


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("change"), st.integers(0, 3), st.integers(-400, 600)),
            st.tuples(st.just("join"), st.integers(0, 3), st.none()),
            st.tuples(st.just("leave"), st.integers(0, 3), st.none()),
            st.tuples(st.just("resize"), st.integers(0, 4000), st.none()),
        )
    )
)
def test_what_is_borrowed_is_always_the_sum(steps: list[tuple[str, int, int | None]]) -> None:
    memory = Memory(1000)
    members = [Member() for _ in range(4)]
    for action, which, octets in steps:
        if action == "resize":
            memory.resize(which)
        elif action == "join":
            memory.join(members[which])
        elif action == "leave":
            memory.leave(members[which])
        elif members[which] in memory.used:
            assert octets is not None
            memory.change(members[which], max(octets, -memory.used[members[which]]))
        if memory.used:
            check_memory(memory)
