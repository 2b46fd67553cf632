"""What is masked is nowhere behind the mask."""

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.core.account import Drop
from relay.core.channel import Channel
from relay.core.dead_letters import DeadLetters
from relay.core.mask import Mask, Masking
from relay.core.match import Views
from relay.core.outlet import formatted
from relay.core.pipe import Pipe
from relay.core.rules import RuleKeys, Rules
from relay.wire.formats import Form
from relay.wire.framing import Framer, Framing, FramingCounts
from relay.wire.hop import Hop
from relay.wire.normalise import normalise
from tests.core.parts import RECEIVED_NS, check, make_batch, make_channel, make_host, waiting

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


NAME = "Müller 4111"
ENCODED = [
    NAME.encode(),
    NAME.encode("latin-1"),
    NAME.encode("utf-16-le"),
    NAME.encode("utf-16-be"),
    json.dumps(NAME)[1:-1].encode(),
]
FORMS = [
    Form("preserve", "relay"),
    Form("rfc5424", "relay"),
    Form("rfc3164", "relay"),
    Form("json", "relay"),
    Form("preserve", "relay", Hop("relay", "pipe", "0" * 16, "1.0")),
]


@given(
    framing=st.sampled_from(["octet", "lf", "nul", "auto"]),
    rows=st.lists(
        st.tuples(
            st.sampled_from(HEADERS), st.binary(max_size=9), st.sampled_from(ENCODED),
            st.one_of(st.binary(max_size=9), st.sampled_from(ENCODED)),
        ),
        min_size=1, max_size=6,
    ),
    cuts=st.lists(st.integers(0, 600), max_size=8),
    batch_messages=st.integers(1, 4),
)  # fmt: skip
def test_no_output_has_a_secret_however_it_came(
    framing: Framing,
    rows: list[tuple[bytes, bytes, bytes, bytes]],
    cuts: list[int],
    batch_messages: int,
) -> None:
    """In any encoding, on any side of a read, a frame or a batch, and whatever it leaves as."""
    texts = [b"".join(row) for row in rows]
    if framing == "octet":
        stream = b"".join(b"%d %b" % (len(text), text) for text in texts)
    else:
        end = b"\0" if framing == "nul" else b"\n"
        # What is cut in two by its sender is two messages, and no count is meant here.
        texts = [text for text in texts if not set(text) & set(b"\0\n") and text[:1] == b"<"]
        stream = b"".join(text + end for text in texts)
    framer = Framer(framing, 8192, 8192, FramingCounts())
    messages: list[bytes] = []
    for start, stop in pairwise([0, *sorted(cuts), len(stream)]):
        messages += framer.feed(stream[start:stop]) if start < stop else []
    messages += framer.close()
    letters, channel = make_channel(), make_channel()
    channel.dead_letters = DeadLetters(Pipe("letters", (), letters), "sink", make_host())
    pipe = pipe_with(channel, [{"regex": quoted(it)} for it in ENCODED])
    messages = [message for message in messages if message]
    for start in range(0, len(messages), batch_messages):
        part = messages[start : start + batch_messages]
        whole, _ = normalise(
            part, ["192.0.2.1"] * len(part), received_ns=RECEIVED_NS, host=None, local=False
        )
        batch = make_batch(*whole)
        pipe.put(batch, Views(batch))
    check(channel)
    out = [
        message
        for batch in waiting(channel)
        for form in FORMS
        for message in formatted(batch.numbered(0), form)
    ]
    assert len(out) == len(FORMS) * len(messages)
    for _ in messages:
        channel.refuse_head(Drop.REFUSED, "too bad")
    out += [message for batch in waiting(letters) for message in batch.messages]
    assert not [message for message in out if any(it in message for it in ENCODED)]
    assert not [message for message in out if message.startswith(b"{") and NAME in told(message)]


def told(line: bytes) -> str:
    """What a line of JSON says, its escapes undone."""
    return str(json.loads(line))


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
