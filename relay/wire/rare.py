"""Patterns that few messages need: compiled when the first one does.

Those of `notation` and `dialects` that are so would be a fiftieth of the start.
"""

import re
from collections.abc import Callable
from functools import cache, partial


def rare(pattern: bytes) -> Callable[[], re.Pattern[bytes]]:
    """Gives the compiled pattern, always the same."""
    return cache(partial(re.compile, pattern))
