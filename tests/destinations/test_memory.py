import trio

from relay.core.memory import MESSAGE_OVERHEAD
from relay.destinations.memory import MemoryDestination
from tests.destinations.conftest import MakeRig
from tests.destinations.fakes import FakeDisk, FakeNetwork

KEYS = MemoryDestination(type="memory", size=32 << 10)


async def test_newest_messages_stay_and_overwritten_ones_are_counted(make_rig: MakeRig) -> None:
    messages = [b"<13>%04d %s" % (n, b"x" * 87) for n in range(1000)]
    rig = make_rig(FakeNetwork(), FakeDisk())
    rig.put(*messages[:500])
    rig.put(*messages[500:])
    async with rig.delivering(KEYS):
        await rig.delivered()
    ring = rig.rings.ring("sink", 32 << 10)
    kept = (32 << 10) // (len(messages[0]) + MESSAGE_OVERHEAD)
    assert list(ring.lines) == messages[-kept:]
    assert ring.overwritten == ring.first == 1000 - kept
    assert rig.stored() == 1000


async def test_ring_outlives_the_attempt(make_rig: MakeRig) -> None:
    rig = make_rig(FakeNetwork(), FakeDisk())
    for text in b"<13>one", b"<13>two":
        rig.put(text)
        async with rig.delivering(KEYS):
            await rig.delivered()
    assert list(rig.rings.ring("sink", 32 << 10).lines) == [b"<13>one", b"<13>two"]


async def test_messages_cannot_move_a_terminal(make_rig: MakeRig) -> None:
    rig = make_rig(FakeNetwork(), FakeDisk())
    rig.put(b"<13>one\x1b]0;two\x07\xff\tthree")
    async with rig.delivering(KEYS):
        await rig.delivered()
    assert list(rig.rings.ring("sink", 32 << 10).lines) == [b"<13>one#033]0;two#007#377\tthree"]


async def test_cancelled_at_any_await_nothing_is_lost_or_kept_twice(make_rig: MakeRig) -> None:
    messages = [b"<13>%d" % n for n in range(10)]
    for ticks in range(8):
        rig = make_rig(FakeNetwork(), FakeDisk())
        for message in messages:
            rig.put(message)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.supervise, KEYS)
            for _ in range(ticks):
                await trio.lowlevel.cancel_shielded_checkpoint()
            nursery.cancel_scope.cancel()
        async with rig.delivering(KEYS):
            await rig.delivered()
        assert list(rig.rings.ring("sink", 32 << 10).lines) == messages
