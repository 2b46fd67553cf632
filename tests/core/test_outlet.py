import trio
import trio.testing

from relay.core.outlet import Reopening, formatted
from relay.wire.formats import Form
from tests.core.parts import make_batch


async def test_whoever_waits_is_interrupted_by_a_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    reopening = Reopening()
    heard: list[bool] = []

    async def wait() -> None:
        with reopening.interrupts() as scope:
            await trio.sleep_forever()
        heard.append(scope.cancelled_caught)

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            reopening.call()
    assert heard == [True, True]
    assert reopening.calls == 1


async def test_whoever_is_busy_at_a_call_sees_it_in_the_count() -> None:
    reopening = Reopening()
    reopening.call()
    with reopening.interrupts() as scope:
        await trio.lowlevel.checkpoint()
    reopening.call()
    assert not scope.cancelled_caught
    assert reopening.calls == 2


MESSAGE = b"<38>Oct 11 22:14:15 mymachine su: text"


def test_preserved_messages_are_the_very_objects() -> None:
    batch = make_batch(MESSAGE)
    assert formatted(batch, Form("preserve", "edge01")) is batch.messages


def test_converted_messages_use_the_zone_and_time_of_the_batch() -> None:
    [converted] = formatted(make_batch(MESSAGE), Form("rfc5424", "edge01"))
    assert converted == b"<38>1 2026-10-11T22:14:15.000Z mymachine su - - - text"
