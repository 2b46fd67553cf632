"""Of what a table matches one message in so many is kept."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.core.match import Views
from relay.core.sample import Sample, Sampling
from tests.core.parts import make_batch

DEBUG, ERR = b"<15>d", b"<11>e"
NO_ERR = {"not": {"severity": "err"}}


def kept(sampling: Sampling, messages: Sequence[bytes]) -> list[int]:
    batch = make_batch(*messages)
    return list(sampling.keep(Views(batch), range(len(batch))))


@given(st.integers(2, 20), st.lists(st.integers(1, 30), max_size=10))
def test_one_in_so_many_is_kept_however_they_are_cut_into_batches(
    one_in: int, batches: list[int]
) -> None:
    sampling = Sampling([Sample(one_in=one_in)])
    first, found = 0, []
    for messages in batches:
        found += [first + place for place in kept(sampling, [DEBUG] * messages)]
        first += messages
    assert found == list(range(0, first, one_in))


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=30), max_size=10))
def test_the_first_table_that_matches_counts_and_others_are_kept(rows: list[list[bool]]) -> None:
    tables = [
        Sample.model_validate({"one_in": 3, "match": NO_ERR}),
        Sample.model_validate({"one_in": 2, "match": NO_ERR}),
    ]
    sampling = Sampling(tables)
    seen = 0
    for row in rows:
        expected = []
        for place, is_debug in enumerate(row):
            if not is_debug or seen % 3 == 0:
                expected.append(place)
            seen += is_debug
        assert kept(sampling, [DEBUG if is_debug else ERR for is_debug in row]) == expected


def test_tables_may_differ_in_how_many_they_keep() -> None:
    sampling = Sampling([Sample.model_validate({"one_in": 2, "match": NO_ERR}), Sample(one_in=4)])
    assert kept(sampling, [DEBUG, ERR] * 4) == [0, 1, 4]


@pytest.mark.parametrize("one_in", [1, 0, -1, "2", 2.0])
def test_what_is_no_sample(one_in: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"one_in": one_in})
