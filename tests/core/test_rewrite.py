"""`rewrite` on batches: which messages, and what becomes of those without a place for a field."""

from typing import Any

import pytest
from pydantic import ValidationError

from relay.core.match import Views
from relay.core.rewrite import Rewrite, Rewriting
from relay.core.tables import Tables
from tests.core.parts import make_batch

BSD = b"<13>Nov 23 07:45:25 web01 app: x"
CISCO = b"<189>89: *Mar  1 2010 00:20:10.663 UTC: %SYS-5-X: x"


def rewriting(**keys: Any) -> Rewriting:  # noqa: ANN401
    table = Rewrite.model_validate(keys)
    return Rewriting(Tables(table.match), table.change(), "relay.example.net")


def test_only_what_matches_is_changed_and_counted() -> None:
    batch = make_batch(BSD, BSD.replace(b"web01", b"web02"))
    after, changed = rewriting(match={"host": "web02"}, facility="local3").apply(Views(batch))
    assert after.messages == [BSD, b"<157>Nov 23 07:45:25 web02 app: x"]
    assert after.octets == sum(map(len, after.messages))
    assert changed == 1


def test_a_batch_in_which_nothing_changes_stays_the_object_it_was() -> None:
    batch = make_batch(BSD)
    assert rewriting(host="web01").apply(Views(batch)) == (batch, 0)


@pytest.mark.parametrize(
    ("message", "keys", "expected"),
    [
        (BSD, {"data": {"site@32473": {"name": 'a"b]c\\d'}}},
         b'<13>1 2026-11-23T07:45:25.000Z web01 app - - [site@32473 name="a\\"b\\]c\\\\d"] x'),
        (BSD, {"data": {"origin": {}}},
         b"<13>1 2026-11-23T07:45:25.000Z web01 app - - [origin] x"),
        (CISCO, {"host": "core1"},
         b"<189>1 2010-03-01T00:20:10.663Z core1 - - - - 89: *%SYS-5-X: x"),
        (b"<13>nothing known", {"program": "p"},
         b"<13>1 2026-11-23T07:45:25.000Z 192.0.2.1 p - - - nothing known"),
    ],
)  # fmt: skip
def test_what_has_no_place_for_a_field_becomes_rfc_5424(
    message: bytes, keys: dict[str, Any], expected: bytes
) -> None:
    after, changed = rewriting(**keys).apply(Views(make_batch(message)))
    assert list(after.messages) == [expected]
    assert changed == 1


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"host": "a b"}, "is no host name"),
        ({"host": ""}, "is no host name"),
        ({"host": "a:"}, "is no host name"),
        ({"program": "a[1]"}, "is no program name"),
        ({"program": "x" * 49}, "is no program name"),
        ({"program": "12"}, "is no program name"),
        ({"facility": "x"}, "unknown facility"),
        ({"severity": "x"}, "unknown severity"),
        ({"data": {"site": {"a": "b"}}}, "is no SD-ID"),
        ({"data": {"si te@1": {"a": "b"}}}, "is no SD-ID"),
        ({"data": {"site@1": {"a b": "c"}}}, "is no parameter name"),
        ({"data": {"site@1": {"a": "\n"}}}, "printable"),
        ({"data": {"site@1": {"a": "x" * 1025}}}, "at most 1024"),
        ({"match": {"severity": "x"}, "host": "a"}, "unknown severity"),
    ],
)
def test_what_is_no_rewrite(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Rewrite.model_validate(keys)


@pytest.mark.parametrize("host", ["a", "web01.example.net", "2001:db8::1", "fe80::1"])
def test_what_is_a_host(host: str) -> None:
    assert rewriting(host=host).change.host == host.encode()
