"""The rules of a pipe together: their order, and that every message stays in one book."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.account import Drop, PipeAccount
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.match import Match, Views
from relay.core.memory import Memory
from relay.core.pipe import Pipe
from relay.core.receipt import Receipt
from relay.core.rules import RuleKeys, Rules, no_rules, rule_values
from tests.core.parts import RECEIVED_NS, WIDE, check, make_batch, make_channel, waiting

DEBUG, ERR = b"<15>d", b"<11>e"
SECOND = 10**9


def make_pipe(channel: Channel, *match: Match, **keys: Any) -> Pipe:  # noqa: ANN401
    return Pipe("pipe", match, channel, Rules.of(RuleKeys.model_validate(keys), "relay"))


def put(pipe: Pipe, *messages: bytes, **keys: Any) -> object:  # noqa: ANN401
    batch = make_batch(*messages, **keys)
    taken = pipe.put(batch, Views(batch))
    check(pipe.channel)
    return taken


def held(channel: Channel) -> list[bytes]:
    return [message for batch in waiting(channel) for message in batch.messages]


def test_a_pipe_without_rules_has_none() -> None:
    assert Rules.of(RuleKeys(), "relay") is None
    assert no_rules() == rule_values(RuleKeys())


def test_a_batch_that_no_rule_touches_stays_the_object_it_was() -> None:
    channel = make_channel()
    pipe = make_pipe(channel, rate_limit="9/s", shed={"below": "err"})
    batch = make_batch(DEBUG, ERR)
    assert pipe.put(batch, Views(batch)) is None
    assert waiting(channel) == [batch]


def test_the_rate_of_a_pipe_drops_what_is_above_it_by_time_of_receipt() -> None:
    channel = make_channel()
    pipe = make_pipe(channel, rate_limit="2/s", burst=3)
    put(pipe, b"0", b"1", b"2", b"3")
    put(pipe, b"4", received_ns=RECEIVED_NS)
    put(pipe, b"5", b"6", b"7", received_ns=RECEIVED_NS + SECOND)
    put(pipe, b"8", received_ns=RECEIVED_NS)  # the clock was set back: nothing comes of it
    put(pipe, *[b"9"] * 9, received_ns=RECEIVED_NS + 100 * SECOND)
    assert held(channel) == [b"0", b"1", b"2", b"5", b"6", b"9", b"9", b"9"]
    assert channel.account.dropped[Drop.RATE] == 2 + 1 + 1 + 6


def test_what_is_sampled_spends_no_rate_and_what_is_filtered_is_not_sampled() -> None:
    channel = make_channel()
    only = Match.model_validate({"contains": "d"})
    pipe = make_pipe(channel, only, sample={"one_in": 2}, rate_limit="1/h", burst=2)
    assert put(pipe, DEBUG, ERR, DEBUG, ERR, DEBUG, ERR, DEBUG, ERR) == [0, 2, 4, 6]
    put(pipe, DEBUG)
    account = channel.account
    assert account.filtered == 4
    assert account.dropped[Drop.SAMPLED] == 2
    assert account.dropped[Drop.RATE] == 1
    assert len(held(channel)) == 2


def test_what_is_shed_spends_no_rate() -> None:
    channel = make_channel(Bounds(4, 1 << 30))
    pipe = make_pipe(
        channel, shed={"below": "warning", "at": 0.5, "until": 0.4}, rate_limit="1/h", burst=3
    )
    put(pipe, DEBUG, DEBUG)
    put(pipe, DEBUG, ERR, DEBUG)
    put(pipe, ERR)
    assert held(channel) == [DEBUG, DEBUG, ERR]
    assert channel.account.dropped[Drop.SHED] == 2
    assert channel.account.dropped[Drop.RATE] == 1


def test_a_notice_of_loss_is_dropped_by_no_rule() -> None:
    channel = make_channel()
    pipe = make_pipe(channel, sample={"one_in": 2}, rate_limit="1/h", burst=1)
    put(pipe, DEBUG)
    put(pipe, DEBUG, DEBUG, notice=True)
    assert len(held(channel)) == 3


def test_what_holds_a_receipt_is_charged_and_dropped_by_no_pressure() -> None:
    """A pipe that keeps: its rate is spent by what it may not drop, and others pay for it."""
    channel = make_channel(Bounds(2, 1 << 30, "block"))
    pipe = make_pipe(channel, rate_limit="1/h", burst=2, shed={"below": "err", "at": 0.5})
    receipt = Receipt(lambda: None, lambda: None)
    put(pipe, DEBUG, DEBUG, DEBUG, receipt=receipt)
    assert len(held(channel)) == 3
    assert receipt.owed == 2
    put(pipe, ERR)
    assert channel.account.dropped == {**dict.fromkeys(Drop, 0), Drop.RATE: 1}


def test_others_have_their_rate_back_a_burst_after_what_holds_receipts() -> None:
    channel = make_channel(Bounds(100_000, 1 << 30, "block"))
    pipe = make_pipe(channel, rate_limit="10/s", burst=20)
    put(pipe, *[DEBUG] * 1000, receipt=Receipt(lambda: None, lambda: None))
    put(pipe, DEBUG, received_ns=RECEIVED_NS + 2 * SECOND)
    assert channel.account.dropped[Drop.RATE] == 1
    put(pipe, DEBUG, received_ns=RECEIVED_NS + 3 * SECOND)
    assert channel.account.dropped[Drop.RATE] == 1


def test_a_receipt_of_a_pipe_that_does_not_keep_changes_nothing() -> None:
    channel = make_channel()
    pipe = make_pipe(channel, rate_limit="1/h", burst=2)
    put(pipe, DEBUG, DEBUG, DEBUG, receipt=Receipt(lambda: None, lambda: None))
    assert len(held(channel)) == 2


def test_every_loss_but_the_sampled_is_told() -> None:
    told: list[tuple[Drop, int]] = []
    account = PipeAccount("pipe", lambda _, reason, messages: told.append((reason, messages)))
    channel = Channel(account, WIDE, Memory(1 << 31))
    pipe = make_pipe(channel, sample={"one_in": 2}, rate_limit="1/h", burst=1)
    put(pipe, *[DEBUG] * 6)
    assert account.dropped[Drop.SAMPLED] == 3
    assert told == [(Drop.RATE, 2)]


@pytest.mark.parametrize("overflow", ["drop-newest", "drop-oldest", "block"])
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([DEBUG, ERR]), min_size=1, max_size=12),
            st.booleans(),
            st.booleans(),
            st.integers(0, 3),
        ),
        max_size=20,
    )
)
def test_the_book_balances_whatever_comes(
    overflow: Any,  # noqa: ANN401
    puts: list[tuple[list[bytes], bool, bool, int]],
) -> None:
    channel = make_channel(Bounds(20, 2000, overflow))
    pipe = make_pipe(
        channel,
        Match.model_validate({"contains": ["d", "e"]}),
        sample=[{"one_in": 3, "match": {"not": {"severity": "err"}}}],
        shed={"below": "err", "at": 0.5},
        rate_limit="5/s",
        burst=10,
    )
    now, received = RECEIVED_NS, 0
    for messages, notice, owed, seconds in puts:
        now += seconds * SECOND
        received += len(messages)
        receipt = Receipt(lambda: None, lambda: None) if owed and not notice else None
        put(pipe, *messages, notice=notice, receipt=receipt, received_ns=now)
        assert channel.account.received == received
