"""Waiting for what no event tells."""

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS_MAX = 30.0  # how long anything may take on a busy machine before a test gives up
LOOK_SECONDS = 0.02

T = TypeVar("T")


def until(look: Callable[[], T], what: str, seconds_max: float = SECONDS_MAX) -> T:
    """What `look` gives as soon as that is true; fails with `what` was waited for."""
    deadline = time.monotonic() + seconds_max
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max:g} s: {what} (last seen: {seen!r})")
        time.sleep(LOOK_SECONDS)
    return seen
