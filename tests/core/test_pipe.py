import pytest

from relay.core.account import Drop
from relay.core.bounds import Bounds
from relay.core.match import Match, Views
from relay.core.pipe import Pipe
from tests.core.parts import WIDE, check, contents, make_channel, numbered, waiting


def contains(*texts: str) -> Match:
    return Match(contains=texts)


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ([], None),
        ([contains("0", "1", "2", "3")], None),
        ([contains("3")], [3]),
        ([contains("3"), contains("0")], [0, 3]),
        ([contains("9")], []),
    ],
)
@pytest.mark.parametrize("bounds", [WIDE, Bounds(1, 1 << 30)])
def test_a_pipe_takes_what_any_of_its_tables_matches(
    match: list[Match], taken: list[int] | None, bounds: Bounds
) -> None:
    channel = make_channel(bounds)
    pipe = Pipe("pipe", match, channel)
    batch = numbered(0, 4)
    assert pipe.put(batch, Views(batch)) == taken
    kept = [0, 1, 2, 3] if taken is None else taken
    assert contents(channel) == kept
    assert pipe.account is channel.account
    assert pipe.account.received == 4
    assert pipe.account.filtered == 4 - len(kept)
    check(channel)


def test_a_batch_that_is_taken_whole_stays_the_object_it_was() -> None:
    channel = make_channel()
    batch = numbered(0, 2)
    Pipe("pipe", [contains("0", "1")], channel).put(batch, Views(batch))
    assert waiting(channel) == [batch]


def test_what_is_filtered_is_not_dropped_when_the_pipe_is_closing() -> None:
    channel = make_channel()
    channel.closing = Drop.REMOVED
    batch = numbered(0, 4)
    Pipe("pipe", [contains("0")], channel).put(batch, Views(batch))
    assert channel.account.filtered == 3
    assert channel.account.dropped[Drop.REMOVED] == 1
    check(channel)
