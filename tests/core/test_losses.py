import itertools
import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from relay.core.losses import NAMED_MAX, QUIET_SECONDS, REPEAT_SECONDS, Losses

SIEM = "to destination siem: full"


def told(texts: Iterable[str]) -> int:
    """The numbers in the texts, added up."""
    total = 0
    for text in texts:
        found = re.match(r"dropped (\d+) (messages?) to ", text)
        assert found
        assert (found[2] == "message") == (found[1] == "1")
        total += int(found[1])
    return total


def test_an_episode_is_told_at_once_each_minute_and_at_its_end() -> None:
    losses = Losses()
    texts: list[tuple[int, str]] = []
    for now in range(200):
        if now < 150:
            losses.add(SIEM, 2)
        texts += [(now, text) for text in losses.due(now)]
    assert texts == [
        (0, f"dropped 2 messages {SIEM}"),
        (60, f"dropped 120 messages {SIEM} (in 60 s)"),
        (120, f"dropped 120 messages {SIEM} (in 60 s)"),
        (159, f"dropped 58 messages {SIEM} (in 39 s)"),
    ]
    assert not losses.pending
    assert losses.untold == 0


def test_a_single_drop_is_told_once_and_in_the_singular() -> None:
    losses = Losses()
    losses.add(SIEM, 1)
    assert losses.pending
    texts = [text for now in range(100) for text in losses.due(now)]
    assert texts == [f"dropped 1 message {SIEM}"]


def test_a_drop_after_a_quiet_time_begins_a_new_episode() -> None:
    news: list[None] = []
    losses = Losses(on_news=lambda: news.append(None))
    losses.add(SIEM, 1)
    losses.add(SIEM, 1)
    assert losses.due(0) == [f"dropped 2 messages {SIEM}"]
    assert losses.due(QUIET_SECONDS) == []
    assert len(news) == 1
    losses.add(SIEM, 3)
    assert len(news) == 2
    assert losses.due(QUIET_SECONDS) == [f"dropped 3 messages {SIEM}"]


def test_each_subject_has_its_own_episode() -> None:
    losses = Losses()
    losses.add(SIEM, 1)
    losses.add("to listener edge: kernel", 2)
    assert losses.untold == 3
    assert losses.due(0) == [f"dropped 1 message {SIEM}",
                             "dropped 2 messages to listener edge: kernel"]  # fmt: skip


def test_the_stop_tells_what_is_left() -> None:
    losses = Losses()
    losses.add(SIEM, 1)
    losses.add("to listener edge: kernel", 2)
    losses.due(0)
    losses.add(SIEM, 4)
    assert losses.rest(5.4) == [f"dropped 4 messages {SIEM} (in 5 s)"]
    assert losses.rest(6) == []
    assert not losses.pending


@given(st.sets(st.integers(0, 300), min_size=1))
def test_between_begin_and_end_a_minute_passes(drops: set[int]) -> None:
    losses = Losses()
    times = []
    for now in range(max(drops) + int(QUIET_SECONDS) + 1):
        if now in drops:
            losses.add(SIEM, 1)
        began = losses.pending
        texts = losses.due(now)
        ended = began and not losses.pending
        times += [now for text in texts if "(in " in text and not ended]
    assert not losses.pending
    assert all(later - earlier >= REPEAT_SECONDS for earlier, later in itertools.pairwise(times))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([SIEM, "to listener edge: kernel"]),
            st.integers(0, 3),  # nothing is dropped, often
            st.floats(0, 90),
        )
    )
)
def test_the_numbers_told_add_up(steps: list[tuple[str, int, float]]) -> None:
    losses = Losses()
    added = counted = 0
    now = 0.0
    for subject, messages, pause in steps:
        if messages:
            losses.add(subject, messages)
        added += messages
        counted += told(losses.due(now))
        assert counted + losses.untold == added
        now += pause
    counted += told(losses.rest(now))
    assert counted == added
    assert losses.untold == 0


def test_a_million_senders_have_few_episodes_and_every_message_is_told() -> None:
    subject = "to listener in: not-allowed"
    losses = Losses()
    losses.add_from("192.0.2.1", subject, 5)
    losses.add_from("192.0.2.1", subject, 2)
    for number in range(1000):
        losses.add_from(f"198.51.100.{number}", subject, 1)
    texts = losses.due(0)
    assert len(texts) == NAMED_MAX + 1
    assert texts[0] == f"dropped 7 messages from 192.0.2.1 {subject}"
    assert texts[-1] == f"dropped {1000 - NAMED_MAX + 1} messages from other senders {subject}"
    assert losses.due(QUIET_SECONDS) == []
    losses.add_from("203.0.113.1", subject, 1)  # those before have ended: there is room for a name
    assert losses.due(QUIET_SECONDS) == [f"dropped 1 message from 203.0.113.1 {subject}"]
    assert losses.untold == 0
