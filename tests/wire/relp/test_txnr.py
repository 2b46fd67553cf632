"""The numbers of transactions."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.wire.relp.txnr import TXNR_MAX, Numbered, next_txnr, txnrs


@pytest.mark.parametrize(
    ("txnr", "steps", "later"),
    [(1, 1, 2), (TXNR_MAX, 1, 1), (TXNR_MAX - 1, 1, TXNR_MAX), (1, -1, TXNR_MAX), (5, 0, 5),
     (TXNR_MAX, 0, TXNR_MAX), (3, -5, TXNR_MAX - 2)],
)  # fmt: skip
def test_the_number_some_transactions_later(txnr: int, steps: int, later: int) -> None:
    assert next_txnr(txnr, steps) == later


def test_numbers_in_a_row() -> None:
    assert list(txnrs(7, 3)) == [7, 8, 9]
    assert list(txnrs(TXNR_MAX - 1, 4)) == [TXNR_MAX - 1, TXNR_MAX, 1, 2]
    assert list(txnrs(TXNR_MAX, 1)) == [TXNR_MAX]
    assert list(txnrs(1, 0)) == []


@given(
    st.one_of(
        st.integers(1, 3000), st.integers(TXNR_MAX - 3000, TXNR_MAX), st.integers(1, TXNR_MAX)
    ),
    st.integers(0, 3000),
)
@example(1, 999)
@example(1000, 1)
@example(999, 1002)
@example(TXNR_MAX, 1)
@example(TXNR_MAX, 2)
def test_text_behind_numbers_is_what_each_alone_would_be(first: int, count: int) -> None:
    one_by_one = b"".join(b"%d rsp 6 200 OK\n" % txnr for txnr in txnrs(first, count))
    assert _ANSWERS.from_(first, count) == one_by_one


_ANSWERS = Numbered(b" rsp 6 200 OK\n")
