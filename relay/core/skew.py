"""How far the clocks of senders are from ours, as the stamps of their messages tell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from relay.wire.message import stamp_of

SENDERS_MAX = 64  # each is a series
WORSE_SECONDS = 1.0  # less does not take a place: BSD stamps are off by up to a second
LOOKS_MAX = 16  # messages of a batch; 0.6 µs for all while their senders are known
PERIOD_NS = 10 * 10**9  # a sender is measured once in it, which costs 2 to 6 µs
MEASURED_MAX = 4096  # senders in a period: 25 ms of work at most
FORGET_NS = 600 * 10**9


@dataclass(slots=True, eq=False, repr=False)
class Skews:
    """The clocks of a listener's senders, the worst where there are too many.

    Invariant: at most `SENDERS_MAX` senders are kept, and at most `MEASURED_MAX` names beside them.
    """

    _seconds: dict[str, float] = field(default_factory=dict)
    _measured_ns: dict[str, int] = field(default_factory=dict)  # of the same senders
    _period_ns: int = 0  # when it began
    _done: set[str] = field(default_factory=set)  # in this period

    def look(
        self, messages: Sequence[bytes], senders: Sequence[str], received_ns: int, zone: tzinfo
    ) -> None:
        """Measure by a few messages of the batch, as they came, senders that are due."""
        if not 0 <= received_ns - self._period_ns < PERIOD_NS:
            self._period_ns = received_ns
            self._done.clear()
            self._forget(received_ns)
        step = len(senders) // LOOKS_MAX + 1
        for i in range(received_ns // 1000 % step, len(senders), step):  # not always the same
            sender = senders[i]
            if sender not in self._done and len(self._done) < MEASURED_MAX:
                self._done.add(sender)
                if stamp := stamp_of(messages[i]):
                    ahead_ns = stamp.to_ns(received_ns, zone) - received_ns
                    self._note(sender, ahead_ns / 1e9, received_ns)

    def seconds(self, now_ns: int) -> dict[str, float]:
        """By sender: how far its clock was ahead of ours when last seen; behind is negative."""
        self._forget(now_ns)
        return dict(self._seconds)

    def _note(self, sender: str, seconds: float, now_ns: int) -> None:
        if sender not in self._seconds and len(self._seconds) >= SENDERS_MAX:
            best = min(self._seconds, key=lambda it: abs(self._seconds[it]))
            if abs(seconds) < abs(self._seconds[best]) + WORSE_SECONDS:
                return
            del self._seconds[best], self._measured_ns[best]
        self._seconds[sender] = seconds
        self._measured_ns[sender] = now_ns

    def _forget(self, now_ns: int) -> None:
        """Those that have been silent for long: nobody knows what their clocks do."""
        for sender, measured_ns in list(self._measured_ns.items()):
            if abs(now_ns - measured_ns) > FORGET_NS:
                del self._seconds[sender], self._measured_ns[sender]
