"""A disk that cannot be read is waited for: so long, and so often."""

import errno

from relay.spool.patience import ATTEMPTS, SECONDS, Patience

EIO = OSError(errno.EIO, "Input/output error")


def test_it_takes_both_time_and_attempts() -> None:
    patience = Patience()
    assert not any(patience.is_over(EIO, 0.0) for _ in range(10 * ATTEMPTS))
    assert patience.is_over(EIO, SECONDS)
    patience = Patience()
    over = [patience.is_over(EIO, n * SECONDS) for n in range(ATTEMPTS)]
    assert over == [False] * (ATTEMPTS - 1) + [True]


def test_another_place_or_another_fault_begins_anew() -> None:
    patience = Patience()
    for n in range(ATTEMPTS):
        patience.is_over(EIO, n * SECONDS, 1)
    assert not patience.is_over(EIO, 10 * SECONDS, 2)
    for n in range(10, 10 + ATTEMPTS):
        patience.is_over(EIO, n * SECONDS, 2)
    assert not patience.is_over(OSError(errno.EACCES, ""), 20 * SECONDS, 2)
    assert not patience.is_over(EIO, 20 * SECONDS, 2)
