"""A rule that fails on a message costs that message, and nothing of it is seen anywhere."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.account import Drop
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.dead_letters import DeadLetters
from relay.core.ledger import Ledger
from relay.core.match import Match, Views
from relay.core.memory import Memory
from relay.core.pipe import Pipe
from relay.core.receipt import Receipt
from relay.core.rewrite import Rewriting
from relay.core.router import Router
from relay.core.rules import RuleKeys, Rules
from tests.core.parts import check, make_batch, make_channel, make_host, waiting

POISON = b"poison-4111"  # what the rules of these tests fail on


class Failing:
    """A pattern that quotes what it fails on, as errors do."""

    def __init__(self, pattern: Any, fault: type[Exception]) -> None:  # noqa: ANN401 - untyped
        self._pattern, self._fault = pattern, fault

    def search(self, message: bytes, *bounds: int) -> object:
        if POISON in message:
            raise self._fault(f"out of stack in {message!r}")
        return self._pattern.search(message, *bounds)

    def __getattr__(self, name: str) -> object:
        return getattr(self._pattern, name)


def pipe_with(
    channel: Channel, fault: type[Exception] = ValueError, *match: Match, **keys: object
) -> Pipe:
    rules = Rules.of(RuleKeys.model_validate({"mask": {"regex": "secret"}, **keys}), "relay")
    assert rules is not None
    assert rules.changes is not None
    [mask] = rules.changes.maskings
    failing = mask._replace(
        pattern=Failing(mask.pattern, fault),
        hint=Failing(mask.hint, fault),
    )
    rules.changes = rules.changes._replace(maskings=[failing])
    return Pipe("pipe", match, channel, rules)


def held(channel: Channel) -> list[bytes]:
    return [message for batch in waiting(channel) for message in batch.messages]


@given(st.lists(st.sampled_from([b"<13>a", b"<13>secret", b"<13>" + POISON]), min_size=1))
def test_the_others_go_on_masked_in_order_and_every_book_balances(rows: Sequence[bytes]) -> None:
    ledger = Ledger()
    channel = Channel(ledger.pipe("pipe", "sink"), Bounds(999, 1 << 20), Memory(1 << 20))
    letters = make_channel()
    channel.dead_letters = DeadLetters(Pipe("letters", (), letters), "sink", make_host())
    other = Channel(ledger.pipe("other", "sink"), Bounds(999, 1 << 20), Memory(1 << 20))
    router = Router(ledger, {"net": [pipe_with(channel), Pipe("other", (), other)]})
    logging.disable()
    try:
        router.put(make_batch(*rows))
    finally:
        logging.disable(logging.NOTSET)
    check(channel)
    assert ledger.residual() == 0
    masked = {b"<13>a": b"<13>a", b"<13>secret": b"<13>***"}
    assert held(channel) == [masked[row] for row in rows if row in masked]
    account = channel.account
    assert account.received == len(rows)
    lost = sum(POISON in row for row in rows)
    assert account.dropped == {**dict.fromkeys(Drop, 0), Drop.INTERNAL_ERROR: lost}
    assert account.changed.get("mask[0]", 0) == rows.count(b"<13>secret")
    assert account.restarts == bool(lost)
    assert not waiting(letters)
    assert held(other) == list(rows)


def test_the_log_says_where_and_how_many_and_quotes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    ledger = Ledger()
    channel = Channel(ledger.pipe("pipe", "sink"), Bounds(999, 1 << 20), Memory(1 << 20))
    poison = b"<13>" + POISON
    Router(ledger, {"net": [pipe_with(channel)]}).put(make_batch(poison, b"<13>a", poison))
    assert "pipe pipe: a rule failed: 2 messages dropped by a bug" in caplog.text
    assert "in _change" in caplog.text
    assert "ValueError" in caplog.text
    assert "4111" not in caplog.text
    assert len(caplog.records) == 1
    assert ledger.losses.due(0) == ["dropped 2 messages to destination sink: internal-error"]


def test_a_fault_before_the_masks_quotes_nothing_either(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs the batch: nobody knows what `match` would have said."""
    ledger = Ledger()
    channel = Channel(ledger.pipe("pipe", "sink"), Bounds(999, 1 << 20), Memory(1 << 20))
    pipe = pipe_with(channel, ValueError, Match.model_validate({"severity": "err"}))

    def fail(_: object, views: Views, places: object) -> Sequence[int]:
        raise ValueError(f"bad {views.batch.messages!r}")

    monkeypatch.setattr(Match, "select", fail)
    Router(ledger, {"net": [pipe]}).put(make_batch(b"<13>" + POISON, b"<13>a"))
    assert channel.account.dropped[Drop.INTERNAL_ERROR] == 2
    assert ledger.residual() == 0
    assert "dropped by a bug" in caplog.text
    assert "4111" not in caplog.text


def test_what_a_rewrite_fails_on_is_dropped_alone_and_what_was_changed_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = make_channel()
    pipe = pipe_with(channel, rewrite={"severity": "err"})
    apply = Rewriting.apply

    def fail(self: Rewriting, views: Views) -> object:
        if b"<13>broken" in views.batch.messages:
            raise KeyError(views.batch.messages)
        return apply(self, views)

    monkeypatch.setattr(Rewriting, "apply", fail)
    batch = make_batch(b"<13>secret", b"<13>broken", b"<13>a")
    assert pipe.put(batch, Views(batch)) is None
    check(channel)
    assert held(channel) == [b"<11>***", b"<11>a"]
    assert channel.account.changed == {"rewrite[0]": 2, "mask[0]": 1}
    assert channel.account.dropped[Drop.INTERNAL_ERROR] == 1


def test_a_notice_of_loss_that_a_rule_fails_on_is_counted_and_not_told() -> None:
    channel = make_channel()
    batch = make_batch(b"<13>" + POISON, notice=True)
    pipe_with(channel).put(batch, Views(batch))
    check(channel)
    assert channel.account.notices_dropped == 1


def test_the_sender_is_told_yes_for_what_would_fail_again() -> None:
    channel = make_channel(Bounds(9, 1 << 20, "block"))
    told: list[str] = []
    receipt = Receipt(lambda: told.append("yes"), lambda: told.append("broken"))
    batch = make_batch(b"<13>" + POISON, receipt=receipt)
    pipe_with(channel).put(batch, Views(batch))
    receipt.pay()  # the listener
    assert told == ["yes"]


def test_without_memory_no_message_is_to_blame_and_nobody_is_told_yes() -> None:
    ledger = Ledger()
    bounds = Bounds(9, 1 << 20, "block")
    channel = Channel(ledger.pipe("pipe", "sink"), bounds, Memory(1 << 20))
    told: list[str] = []
    receipt = Receipt(lambda: told.append("yes"), lambda: told.append("broken"))
    router = Router(ledger, {"net": [pipe_with(channel, MemoryError)]})
    router.put(make_batch(b"<13>" + POISON, b"<13>a", receipt=receipt))
    assert told == ["broken"]
    assert channel.account.dropped[Drop.INTERNAL_ERROR] == 2
    assert ledger.residual() == 0
