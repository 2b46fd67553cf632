"""Runs histories, and opens every state that a crash may leave in each of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from relay.spool.recovery import Known
from tests.spool.enumeration.crash_states import State, without_cursor
from tests.spool.enumeration.histories import HISTORIES, History
from tests.spool.enumeration.outcome import NOTHING, Outcome, everything, observe
from tests.spool.enumeration.promise import Promise, breaches
from tests.spool.enumeration.story import Story

BREACHES_MAX = 3  # of a history that are kept: one is enough to know


class Enough(Exception):
    """A breach was found, and nobody wants another."""


@dataclass(eq=False)
class Summary:
    """Of a campaign. `states` are distinct over all histories, by their content."""

    states: int = 0
    by_history: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    breaches: int = 0
    told: list[str] = field(default_factory=list)  # the first of them, of each history
    sometimes: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class Campaign:
    """Invariant: `seen` has the checksum of every state that was opened."""

    summary: Summary = field(default_factory=Summary)
    progress: Callable[[Summary], None] = lambda _: None
    first_only: bool = False  # stop at the first breach
    seen: set[bytes] = field(default_factory=set)

    def run(self, histories: Iterable[History] = HISTORIES) -> Summary:
        for history in histories:
            try:
                Enumeration(self, history).run()
            except Enough:
                break
        return self.summary


@dataclass(eq=False)
class Enumeration:
    """One history. What a state leads to is looked at once; whether that is right, each time."""

    campaign: Campaign
    history: History
    outcomes: dict[State, Outcome] = field(default_factory=dict)
    breaches: int = 0

    def run(self) -> None:
        history = self.history
        try:
            story = Story(history.surface, history.segment_octets, self._changed, self._stepped,
                          self._opened, history.states_max)  # fmt: skip
            history.run(story)
        except (AssertionError, OSError) as exc:
            self._breach(f"the store raises {exc!r}", ())

    def _changed(self, story: Story) -> None:
        for state in story.possible.news():
            self._check(story, state)
        known = story.promise.known
        outcome, _ = observe(everything(story.directory), self.history.segment_octets, known)
        self._judge(story.promise, outcome, known, everything(story.directory))

    def _stepped(self, story: Story) -> None:
        story.possible.news()
        self.campaign.summary.sometimes["sample drawn"] += bool(story.possible.thinned)
        for state in story.possible.states:
            self._check(story, state)

    def _opened(self, story: Story, outcome: Outcome, known: Known) -> None:
        self._judge(story.promise, outcome, known, everything(story.directory))

    def _check(self, story: Story, state: State) -> None:
        self._judge(story.promise, self.outcomes.get(state) or self._look(state), NOTHING, state)
        if self.history.rots:
            state = without_cursor(state)
            outcome = self.outcomes.get(state) or self._look(state)
            self._judge(story.promise.without_cursor, outcome, NOTHING, state)

    def _look(self, state: State, first: Outcome | None = None) -> Outcome:
        """Open a state; and all that a second crash leaves, which has to come to the same."""
        campaign, history = self.campaign, self.history
        number = len(self.outcomes)
        again = first is None and number % history.second_every == 0
        outcome, between = observe(
            state, history.segment_octets, surface=history.surface if again else None
        )
        self.outcomes[state] = outcome
        self._count(state, outcome)
        for other in between:
            second = self.outcomes.get(other) or self._look(other, outcome)
            campaign.summary.sometimes["second crash"] += 1
            if second.essence != outcome.essence:
                self._breach(f"a second crash changes {outcome} to {second}", other)
        return outcome

    def _count(self, state: State, outcome: Outcome) -> None:
        campaign = self.campaign
        digest = _digest(state)
        if digest not in campaign.seen:
            campaign.seen.add(digest)
            campaign.summary.states += 1
            campaign.summary.by_history[self.history.name] += 1
            campaign.progress(campaign.summary)
        sometimes = campaign.summary.sometimes
        sometimes["torn end cut"] += outcome.torn
        sometimes["no whole cursor"] += outcome.cursor_lost
        sometimes["hole"] += outcome.holes
        sometimes["segment without a frame removed"] += outcome.removed
        for what in outcome.what:
            sometimes["segment missing" if "missing" in what else "frame damaged"] += 1

    def _judge(self, promise: Promise, outcome: Outcome, known: Known, state: State) -> None:
        summary = self.campaign.summary
        summary.checks += 1
        summary.sometimes["delivered, and comes again"] += outcome.settled < promise.settled
        for breach in breaches(promise, outcome, known):
            self._breach(breach, state)

    def _breach(self, breach: str, state: State) -> None:
        summary = self.campaign.summary
        summary.breaches += 1
        self.breaches += 1
        if self.breaches <= BREACHES_MAX:
            files = ", ".join(f"{name} {len(content)}" for name, content in state)
            summary.told.append(f"{self.history.name}: {breach}; in {files}")
        if self.campaign.first_only:
            raise Enough


def _digest(state: State) -> bytes:
    whole = blake2b(digest_size=16)
    for name, content in state:
        whole.update(b"%s %d " % (name.encode(), len(content)))
        whole.update(content)
    return whole.digest()
