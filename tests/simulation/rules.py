"""What the rules of a pipe have to drop, told again beside them: which messages, and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.account import Drop
from relay.core.channel import Channel
from relay.core.match import Views
from relay.core.queue import Entry
from tests.simulation.configuration import PipePlan
from tests.simulation.life import Life

WARNING = 4
ROUNDING = 1e-6  # of a token


@dataclass(slots=True, eq=False)
class RuleWatch:
    """The rules of one pipe, over all lives of the process. Nothing here raises: `faults` tells."""

    plan: PipePlan
    dropped: Counter[Drop] = field(default_factory=Counter)
    gone: Counter[bytes] = field(default_factory=Counter)  # messages that rules have taken away
    faults: list[str] = field(default_factory=list)
    _of: tuple[Life, object] | None = None  # whose rules count now
    _seen: int = 0  # by `sample`
    _tokens: float = 0.0
    _at_ns: int = 0

    def begin(self, life: Life, rules: object, *, may_change: bool) -> None:
        """These rules are about to be asked. They count from the start of a process on."""
        if self._of == (life, rules):
            return
        if self._of is not None and self._of[0] is life and not may_change:
            self.faults.append("the rules have begun anew")
        self._of = (life, rules)
        self._seen, self._tokens, self._at_ns = 0, self.plan.keys.get("burst", 0), 0

    def look(
        self, channel: Channel, views: Views, places: Sequence[int], kept: Sequence[int]
    ) -> None:
        """Of these places the rules keep so many; called before the channel takes those."""
        promised = views.batch.receipt is not None and channel.keeps
        sampled = self._sampled(places)
        rest = [place for place in places if place not in sampled]
        shed = set(rest) - set(kept) if "shed" in self.plan.keys else set()
        self._look_at_shed(channel, views, (rest, shed), promised=promised)
        rest = [place for place in rest if place not in shed]
        limited = self._limited(rest, views.batch.received_ns, promised=promised)
        expected = [place for place in rest if place not in limited]
        if list(kept) != expected:
            self.faults.append(f"kept {list(kept)} of {list(places)}, expected {expected}")
        self.dropped += Counter(
            {Drop.SAMPLED: len(sampled), Drop.SHED: len(shed), Drop.RATE: len(limited)}
        )
        self.gone.update(views.batch.messages[place] for place in (*sampled, *shed, *limited))

    def expired(self, entries: Sequence[Entry], now_ns: int) -> None:
        """These have left because they are too old."""
        ttl_ns = int(self.plan.keys["ttl"].removesuffix("s")) * 10**9
        for entry in entries:
            self.dropped[Drop.EXPIRED] += len(entry.batch)
            if entry.echo or now_ns - entry.batch.received_ns <= ttl_ns:
                self.faults.append(f"expired {now_ns - entry.batch.received_ns} ns old")

    def _sampled(self, places: Sequence[int]) -> Sequence[int]:
        if "sample" not in self.plan.keys:
            return ()
        first, self._seen = self._seen, self._seen + len(places)
        one_in = self.plan.keys["sample"]["one_in"]
        return [place for number, place in enumerate(places, first) if number % one_in]

    def _look_at_shed(
        self,
        channel: Channel,
        views: Views,
        places: tuple[Sequence[int], set[int]],
        *,
        promised: bool,
    ) -> None:
        """All that matters less, or nothing; all when it is full, nothing when it is empty."""
        rest, shed = places
        if "shed" not in self.plan.keys:
            return
        less = {place for place in rest if views.priorities[place] & 7 > WARNING}
        backlog = channel.backlog
        on_disk = backlog is not None and bool(backlog.octets or backlog.unwritten_messages)
        empty = not (on_disk or channel.held().messages)
        if shed and (promised or shed != less or empty):
            self.faults.append(f"shed {len(shed)} of {len(less)}, promised {promised}")
        if less and not shed and channel.full and not promised and channel.closing is None:
            self.faults.append("full, and shed nothing")

    def _limited(self, places: Sequence[int], now_ns: int, *, promised: bool) -> Sequence[int]:
        if "rate_limit" not in self.plan.keys or not places:
            return ()
        rate = int(self.plan.keys["rate_limit"].removesuffix("/s"))
        # Of the clock in seconds, as the relay has it: what is rounded there is no fault.
        grown = self._tokens + rate * max(0.0, now_ns / 1e9 - self._at_ns / 1e9)
        self._tokens = min(self.plan.keys["burst"], grown)
        self._at_ns = now_ns
        passing = (
            len(places) if promised else min(len(places), int(max(0, self._tokens) + ROUNDING))
        )
        self._tokens = max(self._tokens - passing, -self.plan.keys["burst"])
        return places[passing:]
