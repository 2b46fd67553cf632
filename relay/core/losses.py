"""Loss is told in the stream: once an episode begins, at most once a minute, and when it ends.

After OpenBSD's syslogd, whose `dropped N messages to loghost` comes only when its buffer has
drained; here the first drop is told at once, so that a slow peer does not hide the loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

REPEAT_SECONDS = 60.0  # "at most once a minute" while an episode lasts
QUIET_SECONDS = 10.0  # an episode ends when nothing was dropped for this long
NAMED_MAX = 16  # senders with episodes of their own at a time, for one subject


def _nobody() -> None:
    """Nobody waits for news."""


@dataclass(slots=True, eq=False, repr=False)
class _Episode:
    """Drops of one subject, told once in a period."""

    untold: int = 0
    group: str = ""  # of the episodes that differ in their sender only
    told_at: float | None = None
    told_until: float = 0.0  # end of the period that the last notice covered
    dropped_at: float | None = None  # None: new drops whose time `due` has not seen yet


@dataclass(slots=True, eq=False, repr=False)
class Losses:
    """What was dropped and not yet told, by subject.

    Invariant: the numbers in the texts of `due` and `rest`, and what is untold, add up to what was
    added.
    """

    on_news: Callable[[], object] = _nobody  # called by `add` when a new episode begins
    _episodes: dict[tuple[str, str], _Episode] = field(default_factory=dict)
    _named: dict[str, int] = field(default_factory=dict)  # by group: episodes

    def add(self, subject: str, messages: int, *, noun: str = "message") -> None:
        """Book a loss, such as `("to destination siem: full", 12)`, to be told."""
        episode = self._episodes.get((noun, subject))
        if episode is None:
            self._episodes[noun, subject] = _Episode(untold=messages)
            self.on_news()
            return
        episode.untold += messages
        episode.dropped_at = None

    def add_from(self, sender: str, subject: str, messages: int) -> None:
        """The same for one sender; those beyond the first `NAMED_MAX` share an episode."""
        named = f"from {sender} {subject}"
        if ("message", named) not in self._episodes:
            if self._named.get(subject, 0) >= NAMED_MAX:
                named = f"from other senders {subject}"
            else:
                self._named[subject] = self._named.get(subject, 0) + 1
                self._episodes["message", named] = _Episode(group=subject)
                self.on_news()
        self.add(named, messages)

    def due(self, now: float) -> list[str]:
        """The notices to send at this moment."""
        texts = []
        for what, episode in list(self._episodes.items()):
            if episode.dropped_at is None:
                episode.dropped_at = now
            quiet = now - episode.dropped_at >= QUIET_SECONDS
            first = episode.told_at is None
            if episode.untold and (first or quiet or now - episode.told_until >= REPEAT_SECONDS):
                texts.append(self._tell(what, episode, now))
            if quiet:
                self._end(what)
        return texts

    def rest(self, now: float) -> list[str]:
        """All that is untold, now: the relay stops."""
        texts = [self._tell(s, e, now) for s, e in self._episodes.items() if e.untold]
        self._episodes.clear()
        self._named.clear()
        return texts

    @property
    def pending(self) -> bool:
        """True while an episode lasts, so `due` should be asked once a second."""
        return bool(self._episodes)

    @property
    def untold(self) -> int:
        return sum(episode.untold for episode in self._episodes.values())

    def _end(self, what: tuple[str, str]) -> None:
        group = self._episodes.pop(what).group
        if group:
            self._named[group] -= 1
            if not self._named[group]:
                del self._named[group]

    @staticmethod
    def _tell(what: tuple[str, str], episode: _Episode, now: float) -> str:
        noun, subject = what
        noun += "s" * (episode.untold != 1)
        gap = "" if subject.startswith(",") else " "
        text = f"dropped {episode.untold} {noun}{gap}{subject}"
        if episode.told_at is not None:
            text += f" (in {now - episode.told_until:.0f} s)"
        else:
            episode.told_at = now
        episode.untold = 0
        episode.told_until = now
        return text
