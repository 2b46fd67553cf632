"""What sessions share."""

import trio

from relay.core.batch import Batch
from relay.destinations.session import text_lines
from relay.wire.formats import Form


async def test_a_window_of_text_that_is_none_is_escaped_a_batch_a_turn() -> None:
    """Others have their turns meanwhile: octets that are no text take long."""
    batches = [
        Batch.of([b"\xff\n", b"%d" % number], ["local"] * 2, "net", 0) for number in (1, 2, 3)
    ]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        lines = await text_lines(batches, Form("preserve", "relay.example.net"))
        nursery.cancel_scope.cancel()
    assert lines == [b"#377#012", b"1", b"#377#012", b"2", b"#377#012", b"3"]
    assert turns >= 2
