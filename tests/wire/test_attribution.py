"""Who wrote a local message: a wrong process id is replaced, a missing one added when asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.attribution import attribute, tag_name
from relay.wire.message import view

BSD = b"<13>Nov 23 07:45:25 "
NEW = b"<13>1 2026-11-23T07:28:45Z h "
PID = 77


def named(pid: int) -> bytes:
    assert pid == PID
    return b"my prog:1"


@pytest.mark.parametrize(
    ("message", "verified", "added"),
    [
        # as glibc, logger and Python write
        (BSD + b"app[77]: text", None, None),
        (BSD + b"app[5]: text", BSD + b"app[77]: text", BSD + b"app[77]: text"),
        (BSD + b"app: text", None, BSD + b"app[77]: text"),
        (BSD + b"app[5]:", BSD + b"app[77]:", BSD + b"app[77]:"),
        (b"<14>app[5]: text", b"<14>app[77]: text", b"<14>app[77]: text"),
        (b"<14>app: text", None, b"<14>app[77]: text"),
        (b"just text", None, b"my_prog_1[77]: just text"),
        (b"<14>", None, b"<14>my_prog_1[77]: "),
        # the process id, and nothing that looks like it
        (BSD + b"app[5]: [5] app[5]: x", BSD + b"app[77]: [5] app[5]: x", ...),
        (BSD + b"app: app: x", None, BSD + b"app[77]: app: x"),
        (BSD + b"app[worker-3]: text", None, None),
        (BSD + b"app[077]: text", None, None),
        # with a host in front, as a forwarder writes
        (BSD + b"web1 app[5]: text", BSD + b"web1 app[77]: text", ...),
        (BSD + b"web1 app: text", None, BSD + b"web1 app[77]: text"),
        # a header and no text, or none that is apart from it
        (b"<13>Nov 23 07:45:25", None, BSD + b"my_prog_1[77]: "),
        (BSD, None, BSD + b"my_prog_1[77]: "),
        (BSD + b"web1", None, BSD + b"web1 my_prog_1[77]: "),
        (b"<13>2026-11-23T07:28:45Zwww", None, b"<13>2026-11-23T07:28:45Z my_prog_1[77]: www"),
        # RFC 5424
        (NEW + b"app 5 - - text", NEW + b"app 77 - - text", ...),
        (NEW + b"app 77 - - text", None, None),
        (NEW + b"app - - - text", None, NEW + b"app 77 - - text"),
        (NEW + b"- - - - text", None, NEW + b"my_prog_1 77 - - text"),
        (NEW + b"app thread-5 - - text", None, None),
        (NEW + b'app 5 ID [a@1 b="c d"] text', NEW + b'app 77 ID [a@1 b="c d"] text', ...),
        # counters in front of the stamp: no local program writes so
        (b"<13>45: Nov 23 07:45:25: %SYS-5-X: text", None, None),
    ],
)
def test_forms(message: bytes, verified: bytes | None, added: object) -> None:
    """None: unchanged; an ellipsis: as with verify."""
    expected = (message, False) if verified is None else (verified, True)
    assert attribute(message, PID, None) == expected
    if added is ...:
        assert attribute(message, PID, named) == expected
    else:
        assert attribute(message, PID, named) == (added or message, verified is not None)


def test_a_process_that_has_ended_gives_its_number_where_there_is_a_place() -> None:
    assert attribute(b"<13>text", PID, lambda _: b"") == (b"<13>text", False)
    assert attribute(NEW + b"- - - - text", PID, lambda _: b"") == (NEW + b"- 77 - - text", False)


@given(st.binary(max_size=15))
def test_any_name_of_a_process_is_a_tag(name: bytes) -> None:
    if called := tag_name(name):
        message, _ = attribute(b"<13>text", PID, lambda _: name)
        assert view(BSD + message[4:])[6:8] == (called, b"77")


@given(st.binary(max_size=80))
def test_any_octets_never_raise_and_keep_their_text(tail: bytes) -> None:
    for message in (tail, BSD + tail, NEW + tail):
        header = view(message)
        named, wrong = attribute(message, PID, lambda _: b"prog")
        assert wrong or len(named) >= len(message)
        assert attribute(message, PID, None)[0] == message or wrong
        if header.dialect != "none":
            assert view(named).text.endswith(header.text)
