import dataclasses

import pytest

from relay.core.batch import Batch
from tests.core.parts import make_receipt


def whole() -> Batch:
    return Batch(
        [b"a", b"bb", b"ccc", b"dddd"], ["1", "2", "3", "4"], "net", 7, 10,
        zone="+02:00", notice=True, receipt=make_receipt(),
    )  # fmt: skip


def same_but(batch: Batch, **changes: object) -> dict[str, object]:
    """All fields, these ones changed."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return fields | changes


def test_octets_are_added_up() -> None:
    batch = Batch.of([b"a", b"bcd"], ["1", "2"], "net", 7, zone="UTC", notice=True)
    assert len(batch) == 2
    assert batch.octets == 4
    assert (batch.listener, batch.received_ns, batch.zone) == ("net", 7, "UTC")
    assert batch.notice
    assert batch.receipt is None


@pytest.mark.parametrize(("messages", "senders"), [([], []), ([b"a"], []), ([b"a"], ["1", "2"])])
def test_no_batch_is_empty_or_lacks_a_sender(messages: list[bytes], senders: list[str]) -> None:
    with pytest.raises(AssertionError):
        Batch.of(messages, senders, "net", 7)


@pytest.mark.parametrize(
    ("start", "stop", "messages", "senders", "octets"),
    [
        (0, None, [b"a", b"bb", b"ccc", b"dddd"], ["1", "2", "3", "4"], 10),
        (0, 1, [b"a"], ["1"], 1),
        (1, 3, [b"bb", b"ccc"], ["2", "3"], 5),
        (3, None, [b"dddd"], ["4"], 4),
    ],
)
def test_a_part_keeps_everything_else(
    start: int, stop: int | None, messages: list[bytes], senders: list[str], octets: int
) -> None:
    batch = whole().numbered(70)
    part = batch.part(start, stop)
    assert same_but(part) == same_but(
        batch, messages=messages, senders=senders, octets=octets, numbers=range(70, 74)[start:stop]
    )


def test_a_selection_keeps_everything_else() -> None:
    for batch, numbers in ((whole(), ()), (whole().numbered(70), [71, 73])):
        chosen = batch.select([1, 3])
        expected = same_but(
            batch, messages=[b"bb", b"dddd"], senders=["2", "4"], octets=6, numbers=numbers
        )
        assert same_but(chosen) == expected


def test_nothing_is_no_batch() -> None:
    with pytest.raises(AssertionError):
        whole().part(4)
    with pytest.raises(AssertionError):
        whole().select([])
