"""Who may still have a descriptor when few are left."""

import errno
import os
import resource
from collections.abc import Iterator

import pytest

from relay.system.descriptors import Descriptors, check_output, descriptors_max, raise_limit


@pytest.fixture(autouse=True)
def _limit_as_before() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def lowest() -> Iterator[int]:
    """The lowest free one, from 400 on."""
    held = [os.dup(0) for _ in range(400 - _lowest_free())]
    yield _lowest_free()
    for each in held:
        os.close(each)


def _lowest_free() -> int:
    lowest = os.dup(0)
    os.close(lowest)
    return lowest


def _limit(soft: int) -> None:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _limit(hard - 1)
    raise_limit()
    assert descriptors_max() == hard


@pytest.mark.parametrize(
    ("more", "fails"), [(0, True), (1, True), (63, True), (64, True), (65, False), (1000, False)]
)
def test_connections_never_take_the_last_64(more: int, fails: bool, lowest: int) -> None:
    _limit(lowest + more)
    if fails:
        with pytest.raises(OSError, match="Too many open files") as caught:
            Descriptors().check_connection(0)
        assert caught.value.errno == errno.EMFILE
    else:
        Descriptors().check_connection(0)


@pytest.mark.parametrize(
    ("number", "limit", "fails"),
    [(24, 30, False), (25, 30, True), (983, 1000, False), (984, 1000, True), (3, 4096, False)],
)
def test_outputs_leave_16_or_of_few_a_sixth(number: int, limit: int, fails: bool) -> None:
    """Told from the number of what was opened, which is the lowest that was free."""
    _limit(limit)
    if fails:
        with pytest.raises(OSError, match="Too many open files"):
            check_output(number)
    else:
        check_output(number)


@pytest.mark.parametrize(
    ("limit", "needed", "connections_max"),
    [
        (4096, 100, 3996),
        (1000, 100, 900),
        (1000, 990, 125),  # however much the outputs may need, in the end
        (1000, 5000, 125),
        (30, 40, 3),
        (7, 40, 1),
    ],
)
def test_connections_may_have_what_the_outputs_do_not_need(
    limit: int, needed: int, connections_max: int
) -> None:
    _limit(limit)
    assert Descriptors(needed=needed).connections_max == connections_max


def test_one_more_connection_than_the_outputs_leave_is_refused(lowest: int) -> None:
    """Also while their descriptors are free: files that a reload opens anew find them free."""
    _limit(1000)
    descriptors = Descriptors(needed=900, connections=124)
    descriptors.check_connection(0)
    descriptors.connections += 1
    with pytest.raises(OSError, match="Too many open files"):
        descriptors.check_connection(0)
