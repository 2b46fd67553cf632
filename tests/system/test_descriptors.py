import errno
import os
import resource
from collections.abc import Iterator

import pytest

from relay.system.descriptors import check_reserve, raise_limit


@pytest.fixture(autouse=True)
def _limit_as_before() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _lowest_free() -> int:
    lowest = os.dup(0)
    os.close(lowest)
    return lowest


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize(
    ("more", "fails"), [(0, True), (1, True), (63, True), (64, True), (65, False), (1000, False)]
)
def test_the_last_64_descriptors_are_reserved(more: int, fails: bool) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = _lowest_free()
    held = [os.dup(0) for _ in range(256 - lowest)]  # from 256 on the reserve is 64
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_free() + more, hard))
        if fails:
            with pytest.raises(OSError, match="Too many open files") as caught:
                check_reserve(0)
            assert caught.value.errno == errno.EMFILE
        else:
            check_reserve(0)
    finally:
        for each in held:
            os.close(each)


def test_of_few_descriptors_a_quarter_is_reserved() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = _lowest_free()
    resource.setrlimit(resource.RLIMIT_NOFILE, ((lowest + 1) * 4 // 3 + 1, hard))
    check_reserve(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest * 4 // 3, hard))
    with pytest.raises(OSError, match="Too many open files"):
        check_reserve(0)
