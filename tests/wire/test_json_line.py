"""JSON: the pieces make the line that Python's encoder makes of the same values."""

import json

from hypothesis import given
from hypothesis import strategies as st

from relay.wire import json_line
from relay.wire.json_line import end, escaping, named, names, opening, quoted, structured
from relay.wire.message import elements

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def characters(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")


@given(st.binary() | st.text().map(str.encode))
def test_a_string(text: bytes) -> None:
    assert quoted(text) == encode(characters(text)).encode()


def test_every_octet_alone() -> None:
    for octet in range(256):
        text = b"a%cb" % octet
        assert quoted(text) == encode(characters(text)).encode()


@given(st.lists(st.binary(max_size=99) | st.text(max_size=99).map(str.encode), max_size=9))
def test_texts_are_escaped_together_as_each_by_itself(texts: list[bytes]) -> None:
    escaped = [quoted(text)[1:-1] for text in texts]
    assert [*json_line.all_escaped(texts)] == escaped
    escape = escaping(texts)
    assert [escape(text) if escape else text for text in texts] == escaped


def test_of_long_clean_messages_nothing_is_looked_at() -> None:
    clean = [b"clean " * 200] * 9
    assert escaping(clean) is None
    assert json_line.all_escaped(clean) is clean
    assert escaping([*clean, b'"']) is escaping([*clean, b"\xff"]) is json_line.escaped


@given(st.text())
def test_a_name_is_a_string_too(name: str) -> None:
    assert json.loads(named(name)) == name


def test_a_name_that_is_no_utf8_is_shown() -> None:
    assert named("a\udce4") == b'"a\\udce4"'


PARAMETER = st.tuples(st.sampled_from([b"a", b"b", b"c\\"]), st.binary(max_size=9))


@given(st.lists(st.tuples(st.sampled_from([b"x@1", b"y", b"-"]), st.lists(PARAMETER)), max_size=3))
def test_structured_data_is_by_name(wanted: list[tuple[bytes, list[tuple[bytes, bytes]]]]) -> None:
    data = b"".join(
        b"[%b%b]" % (name, b"".join(b' %b="%b"' % (key, escaped(value)) for key, value in pairs))
        for name, pairs in wanted
    )
    assert elements(data) == wanted
    expected: dict[str, dict[str, str | list[str]]] = {}
    for name, pairs in wanted:
        element = expected.setdefault(characters(name), {})
        for key, octets in pairs:
            value, earlier = characters(octets), element.get(characters(key))
            if earlier is None:
                element[characters(key)] = value
            else:
                element[characters(key)] = [
                    *(earlier if isinstance(earlier, list) else [earlier]),
                    value,
                ]
    assert structured(data) == encode(expected).encode()


def escaped(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"]", b"\\]")


def test_no_structured_data_is_an_empty_object() -> None:
    assert structured(None) == structured(b"-") == b"{}"


def test_a_line() -> None:
    line = (
        opening(b"<165>", b"2026-11-23T07:28:45.123Z")
        + names([b'"h"', b'"p"', b"null", b"null"], b"{}")
        + json_line.escaped(b'say "x"')
        + end(1795418925_123_000_000, "fw1@192.0.2.7")
    )
    assert line == encode(json.loads(line)).encode()
    assert json.loads(line) == {
        "priority": 165, "facility": "local4", "severity": "notice",
        "timestamp": "2026-11-23T07:28:45.123Z", "host": "h", "program": "p", "procid": None,
        "msgid": None, "structured_data": {}, "message": 'say "x"',
        "received": "2026-11-23T07:28:45.123Z", "sender": "192.0.2.7", "peer_certificate": "fw1",
    }  # fmt: skip


def test_without_a_stamp_it_is_null() -> None:
    assert opening(b"<0>", None) == (
        b'{"priority":0,"facility":"kern","severity":"emerg","timestamp":null'
    )
