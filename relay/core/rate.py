"""Rates: the token buckets of `rate_limit`, one a sender or one for all."""

import math
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

SENDERS_MAX = 65_536  # buckets kept; 14 MiB

_ROUNDING = 1e-6  # of a token: what adding floats may have lost
_RATE = r"(\d{1,9}(?:\.\d{1,9})?)\s*/\s*(s|m|min|h)"
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}


def parse_rate(value: object) -> float:
    """Messages a second of `"1000/s"`, `"30/m"` or `"10/h"`.

    Raises:
        ValueError: anything else, or none at all.
    """
    found = re.fullmatch(_RATE, value.strip(), re.ASCII) if isinstance(value, str) else None
    rate = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if not rate:
        raise ValueError(f'expected a rate such as "1000/s" or "30/m", not {value!r}')
    return rate


Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": f"^{_RATE}$", "examples": ["1000/s", "30/m"]}),
]
Burst = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]


class Limit(NamedTuple):
    """So many messages a second on average, and so many at once."""

    rate: float
    burst: int

    @classmethod
    def of(cls, rate: float | None, burst: int | None) -> "Limit | None":
        """What the keys `rate_limit` and `burst` say; `burst` is a second's worth by default."""
        return None if rate is None else cls(rate, burst or max(1, round(rate)))


def check_burst(burst: int | None, info: ValidationInfo) -> int | None:
    """Validates the key `burst`, which stands behind `rate_limit`.

    Raises:
        ValueError: there is no rate.
    """
    if burst is not None and info.data.get("rate_limit", burst) is None:  # absent when it is wrong
        raise ValueError("means nothing without rate_limit")
    return burst


@dataclass(slots=True, eq=False, repr=False)
class Bucket:
    """Invariant: in any time t at most `burst + rate * t` messages are granted.

    Charging may go below nothing, and then the time until there is a token again grows.
    """

    limit: Limit
    tokens: float
    at: float  # seconds, of any one clock

    def take(self, messages: int, now: float) -> int:
        """How many of these messages may pass; those are paid for."""
        self._fill(now)
        granted = min(messages, max(0, int(self.tokens + _ROUNDING)))
        self.tokens -= granted
        return granted

    def charge(self, messages: int, now: float, *, owed_max: float = math.inf) -> None:
        """These messages have passed, whether there were tokens or not.

        No more than `owed_max` tokens are missing after that: what is beyond is forgiven.
        """
        self._fill(now)
        self.tokens = max(self.tokens - messages, -owed_max)

    def wait(self, now: float) -> float:
        """Seconds until a message may pass; 0: at once."""
        self._fill(now)
        missing = 1 - self.tokens
        return missing / self.limit.rate if missing > _ROUNDING else 0.0

    def _fill(self, now: float) -> None:
        elapsed = max(0.0, now - self.at)  # a wall clock may have been set back
        self.tokens = min(self.limit.burst, self.tokens + elapsed * self.limit.rate)
        self.at = now


@dataclass(slots=True, eq=False, repr=False)
class Buckets:
    """A bucket for each sender.

    At most `SENDERS_MAX`: beyond, the one that was unheard for longest is forgotten. It is full
    when it comes again, as it would be anyhow after `burst / rate` seconds of silence.
    """

    limit: Limit
    _buckets: OrderedDict[str, Bucket] = field(default_factory=OrderedDict)

    def of(self, sender: str, now: float) -> Bucket:
        bucket = self._buckets.get(sender)
        if bucket is None:
            if len(self._buckets) >= SENDERS_MAX:
                self._buckets.popitem(last=False)
            bucket = self._buckets[sender] = Bucket(self.limit, self.limit.burst, now)
        else:
            self._buckets.move_to_end(sender)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)
