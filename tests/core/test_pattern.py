"""Hints find whatever the keys they stand for would find; to find more is harmless."""

import re
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.pattern import (
    TEXTS_OCTETS_MAX,
    compile_hint,
    compile_pattern,
    hint_of_names,
    hint_of_regex,
    hint_of_texts,
    one_of,
)
from relay.wire.message import view
from tests.wire.samples import Sample, samples

ATOMS = [
    "a", "b", ".", r"\n", r"\s", r"\w", r"\W", "[^a]", r"\xfc", r"\x00", r"\C", "()",
    "^", "$", r"\b", r"\B", r"\A", r"\z", "a|^b", r"\Qa^\E",
    "(?i)A", "(?s).", "(?-m)^", "(?-s:.)", "(?i-m:$)", "(?m)$", "(?U)a*",
]  # fmt: skip
SAMPLES = list(samples())
REGEXES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("(?:{})*".format),
        inner.map("({})?".format),
        inner.map("({}){{2}}".format),
    ),
    max_leaves=6,
)
OCTETS = st.lists(st.sampled_from(b"ab \n\x00\xfcA"), max_size=6).map(bytes)


def near(before: bytes, message: bytes, after: bytes) -> bytes:
    """As `Joined` has it."""
    return b"\n".join([before, message, after])


@given(REGEXES, OCTETS, OCTETS, OCTETS)
@example("^a$", b"b", b"a", b"b")
@example(r"\ba\b", b"a", b"a", b"a")
@example(r"a\B", b"a", b"ab", b"a")
@example(r"\Ba", b"a", b"\x00", b"a")
@example(r"\Aa", b"b", b"a", b"b")
@example("$", b"", b"", b"")
def test_the_hint_of_a_regex_is_found_wherever_it_matches(
    regex: str, before: bytes, message: bytes, after: bytes
) -> None:
    hint = compile_hint(hint_of_regex(regex))
    if hint is not None and compile_pattern(regex).search(message):
        start = len(before) + 1
        assert hint.search(message)
        found = hint.search(near(before, message, after))
        assert found.start() <= start + len(message)
        assert hint.search(near(before, message, after), start, start + len(message))
        assert hint.search(near(before, message, after), start)


@pytest.mark.parametrize("regex", [r"a\A", r"b\z", "(?-m)^", "(?i-m:$)", "(?s-m)a$"])
def test_what_is_bound_to_the_ends_of_a_message_has_no_hint(regex: str) -> None:
    compile_pattern(regex)
    assert hint_of_regex(regex) is None


def test_a_hint_has_no_groups_to_tell() -> None:
    assert compile_hint(hint_of_regex("(a)(b)")).search(b"ab").groups() == ()


def test_so_many_texts_that_one_search_for_all_would_be_slow_are_no_hint() -> None:
    names = [f"{number:010}" for number in range(TEXTS_OCTETS_MAX // 10)]
    assert hint_of_texts(names) is not None
    assert hint_of_texts([*names, "a"]) is None
    assert hint_of_names(names) is not None
    assert hint_of_names([*names, "a*"]) is None


def test_what_is_too_large_for_one_pattern_is_no_hint() -> None:
    assert compile_hint("(?:x{999}){999}") is None
    assert compile_hint(None) is None


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.binary(max_size=30), st.data())
def test_the_hint_of_texts_is_found_where_one_of_them_is(
    texts: list[str], octets: bytes, data: st.DataObject
) -> None:
    hint = compile_hint(hint_of_texts(texts))
    contained = any(text.encode() in octets for text in texts)
    assert bool(hint.search(octets)) == contained
    assert hint.search(octets + data.draw(st.sampled_from(texts)).encode())


@given(
    st.lists(st.text("aB*?.üÜ\u0130K", min_size=1, max_size=5), min_size=1, max_size=3),
    st.lists(st.sampled_from([b"a", b"B", b"b", b"A", b".", b"\xc3\xbc", b"\xc3\x9c", b"K", b"k",
                              b"\xc4\xb0"]),
             max_size=5).map(b"".join),
    OCTETS, OCTETS,
)  # fmt: skip
@example(["*"], b"", b"", b"")
@example(["B?a*"], b"bXA", b"", b"")
@example(["ab"], b"AB", b"", b"")
@example(["x?Ab*"], b"XxaBx", b"", b"")
@example(["Ü*"], b"\xc3\x9c", b"", b"")
@example(["\u0130*"], b"\xc4\xb0", b"", b"")
@example(["?ÜA*"], b"b\xc3\x9cab", b"", b"")
def test_the_hint_of_names_is_found_wherever_a_field_is_one_of_them(
    names: list[str], field: bytes, before: bytes, after: bytes
) -> None:
    hint = compile_hint(hint_of_names(names))
    if hint is None:
        assert any(not set(name) - set("*?") for name in names)
    elif one_of(names)(field):
        assert hint.search(before + field + after)


# -- the hint of names stands on this: host and program are in the message as it is


def has_its_fields(message: bytes) -> bool:
    header = view(message)
    return all(field in message for field in (header.host, header.program) if field is not None)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_host_and_program_of_what_the_field_sends_stand_in_it(sample: Sample) -> None:
    assert has_its_fields(sample.received)
    assert has_its_fields(sample.normalised())


@given(st.sampled_from(SAMPLES), st.data())
def test_host_and_program_stand_in_any_message(sample: Sample, data: st.DataObject) -> None:
    message = sample.normalised()
    cut = data.draw(st.integers(0, len(message)))
    put = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b'"', b"\\", b": ", b"["])))
    skipped = data.draw(st.integers(0, 4))
    assert has_its_fields(message[:cut] + put + message[cut + skipped :])


def test_a_pattern_is_quoted_as_it_stands() -> None:
    special = "".join(map(chr, range(1, 128)))
    hint = hint_of_texts([special])
    assert compile_hint(hint).search(b"-" + special.encode())
    assert hint
    assert not re.search("[^\\\\x0-9a-f]", hint)


@pytest.mark.parametrize("key", ["regex", "contains", "program", "host", "peer_certificate"])
def test_the_library_is_there_when_a_key_that_needs_it_is_read(key: str) -> None:
    """And not only when a message comes, which would wait for it."""
    code = (
        "import sys; from relay.core.match import Match; Match(severity='err')\n"
        f"before = 're2' in sys.modules; Match({key}='x'); print(before, 're2' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    assert run.stdout == "False True\n"
