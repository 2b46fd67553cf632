"""What is masked is nowhere behind the mask."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.core.account import Drop
from relay.core.channel import Channel
from relay.core.dead_letters import DeadLetters
from relay.core.mask import Mask, Masking
from relay.core.match import Views
from relay.core.pipe import Pipe
from relay.core.rules import RuleKeys, Rules
from tests.core.parts import check, make_batch, make_channel, make_host, waiting

SECRETS = ["4111111111111111", "Müller", "k\xf8benhavn", 'tok=[x]"y\\z']
ENCODINGS = ["utf-8", "latin-1"]
HEADERS = [
    b"<13>1 2026-11-23T07:45:25Z web01 app 1 - - ",
    b'<13>1 2026-11-23T07:45:25Z web01 app 1 - [a@1 b="c"] \xef\xbb\xbf',
    b"<13>Nov 23 07:45:25 web01 app: ",
    b"",
]


def masked(message: bytes, regex: str, **keys: str) -> bytes:
    return Masking.of(Mask.model_validate({"regex": regex, **keys})).mask(message)


@pytest.mark.parametrize(
    ("regex", "message", "expected"),
    [
        (r"\d{4}", b"<13>pin 1234 and 5678.", b"<13>pin *** and ***."),
        (r"\d+", b"<13>13", b"<13>***"),
        (r"<13>1", b"<13>13", b"<13>***3"),
        (r"^<\d+>a", b"<13>ab", b"<13>***b"),
        (r"pass=(\S+)", b"<13>pass=x y pass=z", b"<13>pass=*** y pass=***"),
        (r"(a)b(c)", b"<13>abcabc", b"<13>***b******b***"),
        (r"(a(b)c)", b"<13>abc", b"<13>***"),
        (r"key=(\w+)|token", b"<13>token key=1", b"<13>*** key=***"),
        (r"pass=(\w*)", b"<13>pass=,pass=a", b"<13>pass=,pass=***"),
        (r"(?i)secret", b"<13>SeCrEt", b"<13>***"),
        (r"x\x00y", b"<13>ax\x00yb", b"<13>a***b"),
        ("caf\u00e9", "<13>caf\u00e9".encode(), b"<13>***"),
        (r"caf\xe9", "<13>caf\u00e9".encode("latin-1"), b"<13>***"),
        (r"a\nb", b"<13>a\nb", b"<13>***"),
        (r"(?s)b.*", b"<13>a\xffb\nc", b"<13>a\xff***"),
    ],
)
def test_what_is_masked(regex: str, message: bytes, expected: bytes) -> None:
    assert masked(message, regex) == expected


def test_something_else_may_stand_there() -> None:
    assert masked(b"<13>pin 1234", r"\d{4}", **{"with": r"\1#"}) == rb"<13>pin \1#"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"regex": "x*"}, "matches where there is nothing to mask"),
        ({"regex": "(x"}, "bad regular expression"),
        ({"regex": ""}, "matches where there is nothing"),
        ({}, "regex"),
        ({"regex": "x", "with": ""}, "at least 1 character"),
        ({"regex": "x", "with": "\n"}, "expected printable characters"),
        ({"regex": "x", "with": "y" * 33}, "at most 32 characters"),
    ],
)
def test_what_is_no_mask(keys: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Mask.model_validate(keys)


def pipe_with(channel: Channel, masks: Sequence[dict[str, str]]) -> Pipe:
    return Pipe("pipe", (), channel, Rules.of(RuleKeys.model_validate({"mask": masks}), "relay"))


def quoted(secret: bytes) -> str:
    """A pattern for exactly these bytes."""
    return "".join(f"\\x{octet:02x}" for octet in secret)


@given(
    st.sampled_from(SECRETS),
    st.sampled_from(ENCODINGS),
    st.lists(
        st.tuples(st.sampled_from(HEADERS), st.binary(max_size=20), st.binary(max_size=20),
                  st.integers(0, 3)),
        min_size=1, max_size=8,
    ),
)  # fmt: skip
@example("4111111111111111", "utf-8", [(b"", b"4111111111111111", b"4111111111111111", 3)])
@example("4111111111111111", "utf-8", [(b"", b"<1", b"3>", 1), (b"", b"", b"", 0)])
def test_a_secret_is_nowhere_behind_the_mask_wherever_it_stood(
    secret: str, encoding: str, rows: list[tuple[bytes, bytes, bytes, int]]
) -> None:
    """In the channel (from which spools and destinations have it), and in no dead letter."""
    octets = secret.encode(encoding)
    messages = [head + before + octets * times + after for head, before, after, times in rows]
    batch = make_batch(*(message or b"-" for message in messages))
    letters, channel = make_channel(), make_channel()
    channel.dead_letters = DeadLetters(Pipe("letters", (), letters), "sink", make_host())
    pipe_with(channel, [{"regex": quoted(octets)}]).put(batch, Views(batch))
    check(channel)
    held = [message for it in waiting(channel) for message in it.messages]
    assert len(held) == len(messages)
    for before, after in zip(batch.messages, held, strict=True):
        assert octets not in after
        assert (after == before) == (octets not in before)
    for _ in held:
        channel.refuse_head(Drop.REFUSED, "too bad")
    assert all(octets not in message for it in waiting(letters) for message in it.messages)
    assert letters.account.received == len(messages)


def test_masks_are_applied_in_order_and_counted() -> None:
    channel = make_channel()
    pipe = pipe_with(channel, [{"regex": "a+", "with": "b"}, {"regex": "b", "with": "c"}])
    batch = make_batch(b"<13>aa", b"<13>b", b"<13>x")
    assert pipe.put(batch, Views(batch)) is None
    assert waiting(channel)[0].messages == [b"<13>c", b"<13>c", b"<13>x"]
    assert waiting(channel)[0].octets == 15
    assert channel.account.changed == {"mask[0]": 1, "mask[1]": 2}


def test_a_batch_without_a_secret_stays_the_object_it_was() -> None:
    channel = make_channel()
    batch = make_batch(b"<13>x")
    pipe_with(channel, [{"regex": "a"}]).put(batch, Views(batch))
    assert waiting(channel) == [batch]


def test_no_field_that_is_set_brings_back_what_is_masked() -> None:
    channel = make_channel()
    keys = {"mask": {"regex": "secret"}, "rewrite": {"host": "secret"}}
    pipe = Pipe("pipe", (), channel, Rules.of(RuleKeys.model_validate(keys), "relay"))
    batch = make_batch(b"<13>1 - - - - - - x")
    pipe.put(batch, Views(batch))
    assert waiting(channel)[0].messages == [b"<13>1 - *** - - - - x"]
