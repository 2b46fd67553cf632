"""The position of what can be read again: it moves over what is secured, and no further."""

import json
from collections.abc import Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.core.position import RETRY_SECONDS, Place, Positions
from relay.core.receipt import Receipt


class Store:
    """A store in memory, that fails as often as it is told to."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content
        self.loads_failing = 0
        self.saves_failing = 0
        self.saves = 0

    async def load(self, name: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        self.loads_failing -= 1
        if self.loads_failing >= 0:
            raise OSError(5, "Input/output error")
        return self.content

    async def save(self, name: str, content: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.saves_failing -= 1
        if self.saves_failing >= 0:
            raise OSError(28, "No space left on device")
        self.saves += 1
        self.content = content

    def kept(self) -> dict[str, Place]:
        assert self.content is not None
        return {
            name: it["place"] | {"exact": it["exact"]}
            for name, it in json.loads(self.content)["sources"].items()
        }


def at(number: int) -> Place:
    return {"n": number}


def take(positions: Positions, numbers: Sequence[int], pipes: int = 1) -> list[Receipt]:
    """Put up to each of these places; so many pipes owe each receipt."""
    receipts = []
    for number in numbers:
        with positions.source("log").taking(at(number)) as receipt:
            for _ in range(pipes):
                receipt.owe()
        receipts.append(receipt)
    return receipts


async def reopened(store: Store) -> Positions:
    positions = Positions("kmsg-k", store)
    await positions.load()
    return positions


async def test_what_no_pipe_has_to_keep_is_kept_when_the_put_returns() -> None:
    positions = Positions("kmsg-k", Store())
    take(positions, [1, 2], pipes=0)
    progress = positions.source("log")
    assert (progress.read, progress.kept) == (at(2), at(2))


async def test_the_position_waits_for_the_oldest_that_is_not_secured() -> None:
    positions = Positions("kmsg-k", Store())
    first, second, third = take(positions, [1, 2, 3])
    progress = positions.source("log")
    second.pay()
    assert (progress.read, progress.kept) == (at(3), None)
    first.pay()
    assert progress.kept == at(2)
    third.pay()
    assert progress.kept == at(3)


async def test_it_waits_for_every_pipe_that_keeps() -> None:
    positions = Positions("kmsg-k", Store())
    (receipt,) = take(positions, [1], pipes=2)
    receipt.pay()
    assert positions.source("log").kept is None
    receipt.pay()
    assert positions.source("log").kept == at(1)


async def test_what_a_removed_pipe_has_booked_as_dropped_holds_nothing_up() -> None:
    positions = Positions("kmsg-k", Store())
    first, second = take(positions, [1, 2])
    second.pay()
    first.abandon()
    assert positions.source("log").kept == at(2)


async def test_what_the_stop_drops_is_read_again_by_the_next_process() -> None:
    store = Store()
    positions = await reopened(store)
    first, second, third = take(positions, [1, 2, 3])
    first.pay()
    positions.stopping = True
    second.abandon()
    third.pay()
    await positions.save(ended=True)
    assert store.kept() == {"log": {"n": 1, "exact": False}}
    later = (await reopened(store)).source("log")
    assert (later.read, later.kept, later.repeating) == (at(1), at(1), True)


async def test_after_a_clean_end_nothing_is_repeated() -> None:
    store = Store()
    positions = await reopened(store)
    (receipt,) = take(positions, [7])
    receipt.pay()
    await positions.save(ended=True)
    assert store.kept() == {"log": {"n": 7, "exact": True}}
    later = (await reopened(store)).source("log")
    assert (later.kept, later.repeating) == (at(7), False)
    # And the store has heard that there is a process again that may read on, before it does.
    assert store.kept() == {"log": {"n": 7, "exact": False}}


async def test_after_a_kill_what_is_read_again_may_be_repeated() -> None:
    store = Store()
    positions = await reopened(store)
    take(positions, [7], pipes=0)
    await positions.save()
    take(positions, [8], pipes=0)
    later = (await reopened(store)).source("log")
    assert (later.kept, later.repeating) == (at(7), True)


async def test_a_doubt_outlives_a_process_that_ends_before_it_is_resolved() -> None:
    """Killed, started, and stopped cleanly before it has read anything: who knows still."""
    store = Store()
    positions = await reopened(store)
    (receipt,) = take(positions, [7])
    receipt.pay()
    await positions.save()
    between = await reopened(store)
    assert between.source("log").repeating
    await between.save(ended=True)
    assert (await reopened(store)).source("log").repeating


async def test_a_kill_before_the_first_save_is_an_unclean_end_as_well() -> None:
    store = Store()
    take(await reopened(store), [7], pipes=0)
    later = await reopened(store)
    assert later.source("log").kept is None
    assert later.source("log").repeating
    assert not (await reopened(Store())).source("log").repeating
    await later.save(ended=True)
    assert not (await reopened(store)).source("log").repeating


async def test_nothing_is_written_while_nothing_changes() -> None:
    store = Store()
    positions = await reopened(store)
    assert store.saves == 1  # that there is a process that reads
    await positions.save()
    assert store.saves == 1
    take(positions, [7], pipes=0)
    await positions.save()
    await positions.save()
    assert store.saves == 2


async def test_an_exception_inside_counts_as_read() -> None:
    """What was read is booked by whoever raised; reading it again would meet the same bug."""
    positions = Positions("kmsg-k", Store())
    with (
        pytest.raises(ZeroDivisionError),
        positions.source("log").taking(at(1)),
    ):
        _ = 1 // 0
    assert positions.source("log").read == positions.source("log").kept == at(1)


async def test_a_source_that_is_forgotten_is_not_kept() -> None:
    store = Store()
    positions = await reopened(store)
    take(positions, [7], pipes=0)
    await positions.save()
    positions.forget("log")
    positions.forget("log")
    await positions.save()
    assert store.kept() == {}


async def test_a_start_somewhere_else_replaces_what_was_kept() -> None:
    positions = await reopened(
        Store(b'{"ended": true, "sources": {"log": {"place": {"n": 9}, "exact": true}}}')
    )
    positions.source("log").start_at(at(2))
    assert positions.source("log").kept == positions.source("log").read == at(2)


async def test_a_store_that_cannot_be_read_is_waited_for_and_told_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(b'{"ended": false, "sources": {"log": {"place": {"n": 9}, "exact": false}}}')
    store.loads_failing = 3
    positions = await reopened(store)
    assert trio.current_time() == 3 * RETRY_SECONDS
    assert positions.source("log").kept == at(9)
    assert [it.getMessage() for it in caplog.records] == [
        "position of kmsg-k cannot be read, waiting: [Errno 5] Input/output error"
    ]


async def test_a_full_disk_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    positions = await reopened(store)
    take(positions, [1], pipes=0)
    store.saves_failing = 2
    for _ in range(3):
        await positions.save()
    assert store.kept() == {"log": {"n": 1, "exact": False}}
    assert [it.getMessage() for it in caplog.records] == [
        "position of kmsg-k cannot be kept: [Errno 28] No space left on device"
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", b"[]", b"{}", b'{"sources": 3}', b'{"sources": {"log": {"place": 3}}}',
     b'{"sources": {}}',
     b'{"sources": {"log": {"place": [1], "exact": true}}}', b"\xff", b"[" * 100_000],
)  # fmt: skip
async def test_content_that_nobody_understands_is_told_and_taken_as_none(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    positions = await reopened(Store(content))
    assert positions.sources == {}
    assert positions.source("log").repeating
    assert "is not understood" in caplog.text


@given(st.permutations(range(6)), st.integers(0, 6))
def test_the_position_is_always_in_front_of_the_oldest_unpaid(order: list[int], upto: int) -> None:
    positions = Positions("kmsg-k", None)
    receipts = take(positions, range(6))
    for index in order[:upto]:
        receipts[index].pay()
    unpaid = sorted(order[upto:])
    secured = unpaid[0] if unpaid else 6  # as many from the first on
    assert positions.source("log").kept == (at(secured - 1) if secured else None)
