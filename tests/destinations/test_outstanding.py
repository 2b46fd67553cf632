from bisect import bisect_right
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from relay.destinations.outstanding import Outstanding
from relay.wire.frames import OutFraming, frame

Batches = list[list[bytes]]

batches = st.lists(
    st.lists(st.binary(max_size=20).map(lambda text: b"<13>" + text), min_size=1, max_size=8),
    min_size=1, max_size=8,
)  # fmt: skip
framings = st.sampled_from(["octet", "lf", "nul"])


def frames_end(all_batches: Batches, framing: OutFraming) -> list[int]:
    """Where each message's frame ends on the stream, frame by frame."""
    messages = [message for batch in all_batches for message in batch]
    return list(accumulate(len(frame([message], framing).data) for message in messages))


@given(batches, framings, st.data())
def test_a_message_is_passed_with_the_last_octet_of_its_frame(
    all_batches: Batches, framing: OutFraming, data: st.DataObject
) -> None:
    """Wherever the peer's kernel stands at the looks, and whichever of them are exact."""
    ends = frames_end(all_batches, framing)
    looks = data.draw(st.lists(st.tuples(st.integers(0, ends[-1]), st.booleans())))
    outstanding = Outstanding()
    for batch in all_batches:
        outstanding.add(frame(batch, framing))
    assert outstanding.end == ends[-1]
    passed = 0
    for octets, exact in [*sorted(looks), (ends[-1], False)]:
        passed += outstanding.pass_to(octets, exact=exact)
        assert outstanding.messages == len(ends) - passed
        if exact:
            assert passed == bisect_right(ends, octets)
        else:
            assert passed <= bisect_right(ends, octets)
    assert passed == len(ends), "the end of the stream is the end of a batch"


@given(batches, st.integers(min_value=0))
def test_what_is_not_exact_passes_all_whole_batches(all_batches: Batches, octets: int) -> None:
    framed = [frame(batch, "octet") for batch in all_batches]
    outstanding = Outstanding()
    for it in framed:
        outstanding.add(it)
    octets %= outstanding.end + 1
    batch_ends = list(accumulate(len(it.data) for it in framed))
    whole = bisect_right(batch_ends, octets)
    assert outstanding.pass_to(octets, exact=False) == sum(map(len, all_batches[:whole]))


def test_batches_may_be_added_between_looks() -> None:
    outstanding = Outstanding()
    outstanding.add(frame([b"one", b"two"], "lf"))
    assert outstanding.pass_to(5) == 1
    outstanding.add(frame([b"three"], "lf"))
    assert outstanding.messages == 2
    assert outstanding.pass_to(5) == 0
    assert outstanding.pass_to(13) == 1
    assert outstanding.pass_to(14) == 1
    assert outstanding.messages == 0
    assert outstanding.pass_to(14) == 0
