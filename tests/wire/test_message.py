"""Header views: RFC 5424, RFC 3164 and anything else; dialects have a file of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.message import data5424, elements, recognised, view, well_formed, well_formed_data
from relay.wire.priority import priority

BOM = b"\xef\xbb\xbf"

# message; host, program, procid, msgid, structured data, text
RFC5424 = [
    (
        b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
        + BOM + b"'su root' failed for lonvick on /dev/pts/8",
        b"mymachine.example.com", b"su", None, b"ID47", None,
        b"'su root' failed for lonvick on /dev/pts/8",
    ),
    (
        b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - "
        b"%% It's time to make the do-nuts.",
        b"192.0.2.1", b"myproc", b"8710", None, None, b"%% It's time to make the do-nuts.",
    ),
    (
        b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] '
        + BOM + b"An application event log entry...",
        b"mymachine.example.com", b"evntslog", None, b"ID47",
        b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]',
        b"An application event log entry...",
    ),
    (
        b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        b'[exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]',
        b"mymachine.example.com", b"evntslog", None, b"ID47",
        b'[exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]', b"",
    ),
    (b"<34>1 - - - - - -", None, None, None, None, None, b""),
    (b"<34>1 - - - - - - ", None, None, None, None, None, b""),
    (b"<34>1 - h a p m - \xff\x00", b"h", b"a", b"p", b"m", None, b"\xff\x00"),
    (
        rb'<34>1 - h a p m [x v="a\"b\\c\]d\ne"][y] t]', b"h", b"a", b"p", b"m",
        rb'[x v="a\"b\\c\]d\ne"][y]', b"t]",
    ),
    (b'<34>1 - h a p m [x v="a\nb"] t', b"h", b"a", b"p", b"m", b'[x v="a\nb"]', b"t"),
    (b"<34>1 2003-10-11T22:14:15 h a p m - t", b"h", b"a", b"p", b"m", None, b"t"),
    (b"<34>1 - fe80:: a p m - t", b"fe80::", b"a", b"p", b"m", None, b"t"),
    (
        b"<13>1 2020-05-22T14:59:09.250-03:00 MX204 CONTEUDO:rpd 6589 - - bgp_listen_accept: x",
        b"MX204", b"CONTEUDO:rpd", b"6589", None, None, b"bgp_listen_accept: x",
    ),
]  # fmt: skip

# structured data that breaks §6.3 stays in the text, with what follows
MALFORMED_DATA = [
    b'[x v="a] t', b"[x v=a] t", b'[x v="a"]t', b"[", b"[] t", b'[x  v="a"] t', b'[x v="a"b] t',
    b'[x v="a\\"] t', b'[x="1"] t', b'[x v="]"] t',
]  # fmt: skip

# message; host, program, procid, text
RFC3164 = [
    (
        b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        b"mymachine", b"su", None, b"'su root' failed for lonvick on /dev/pts/8",
    ),
    (
        b"<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time to make the do-nuts.",
        b"mymachine", b"myproc", b"10", b"%% It's time to make the do-nuts.",
    ),
    (
        b"<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: All Folks!",
        b"scapegoat.dmz.example.org", None, None, b"10.1.2.3 sched[0]: All Folks!",
    ),
    (b"Oct 11 22:14:15 host su: no PRI", b"host", b"su", None, b"no PRI"),
    (b"<34>Oct 11 22:14:15 CRON[12]: (root) CMD", None, b"CRON", b"12", b"(root) CMD"),
    (b"<34>Oct 11 22:14:15 kernel: x", None, b"kernel", None, b"x"),
    (b"<34>Oct 11 22:14:15 h prog[1] no colon", b"h", b"prog", b"1", b"no colon"),
    (b"<34>Oct 11 22:14:15 h prog[1]:close", b"h", b"prog", b"1", b"close"),
    (b"<34>Oct 11 22:14:15 h prog[]: x", b"h", None, None, b"prog[]: x"),
    (b"<34>Oct 11 22:14:15 h array[0]=5", b"h", None, None, b"array[0]=5"),
    (b"<34>Oct 11 22:14:15 h http://x/ y", b"h", None, None, b"http://x/ y"),
    (b"<34>Oct 11 22:14:15 h postfix/smtpd[7]: x", b"h", b"postfix/smtpd", b"7", b"x"),
    (b"<34>Oct 11 22:14:15 h (systemd)[7]: x", b"h", b"(systemd)", b"7", b"x"),
    (b"<34>Oct 11 22:14:15 h user@1.service:", b"h", b"user@1.service", None, b""),
    (b'<34>Oct 11 22:14:15 h {"a": 1}', b"h", None, None, b'{"a": 1}'),
    (b"<34>Oct 11 22:14:15 h a:  two", b"h", b"a", None, b" two"),
    (b"<34>Oct 11 22:14:15 2001:db8::1 su: x", b"2001:db8::1", b"su", None, b"x"),
    (b"<34>Oct 11 22:14:15  indented", None, None, None, b" indented"),
    (b'<34>Oct 11 22:14:15 "quoted" x', None, None, None, b'"quoted" x'),
    (b"<34>Oct 11 22:14:15 h " + b"t" * 129 + b": x", b"h", None, None, b"t" * 129 + b": x"),
    (b"<34>Oct 11 22:14:15", None, None, None, b""),
    (b"<34>Oct 11 22:14:15glued", None, None, None, b"glued"),
    (b"<34>Oct 11 22:14:15 h", b"h", None, None, b""),
    (b"<34>1 2003-10-11T22:14:15Z h a t", b"h", None, None, b"a t"),
    (b"<34>1 2003-10-11T22:14:15Z+ h a p m - t", None, None, None, b"+ h a p m - t"),
]  # fmt: skip

HEADLESS = [
    b"",
    b"Use the BFG!",
    b"<999>Oct 11 22:14:15 h su: x",
    b"<189>sw: r1: Nov 18 21:03:22: %LINK-3-UPDOWN: two names",
    b"<13>myprog: Nov 18 21:03:22 in a text",
    b"<34>1 - foo",
    b"<34>1 2003-02-31T22:14:15Z h a p m - t",
    b"<34>2 2003-10-11T22:14:15Z h a p m - t",
]

WORDS = st.sampled_from(
    [b"<13>", b"<0>", b"1 ", b"2003-10-11T22:14:15.003Z", b"Oct 11 22:14:15", b"2020 ", b"- ", b"-",
     b"host ", b"su: ", b"su[1]: ", b"12: ", b": ", b"*", b".", b"%ASA-1-1: ", b'[a b="c"]',
     b'[a b="', b"] ", b"\\", b" ", b"UTC", b"01/10/2001:01:01:01", b"1563249630.7 ", BOM]
)  # fmt: skip
MESSAGES = st.lists(WORDS | st.binary(max_size=6), max_size=14).map(b"".join)


@pytest.mark.parametrize(("message", "fields"), [(row[0], row[1:]) for row in RFC5424])
def test_rfc5424(message: bytes, fields: tuple[bytes | None, ...]) -> None:
    header = view(message)
    assert header.dialect == "rfc5424"
    assert header[5:] == fields
    assert data5424(message) == (header.structured_data or b"")
    assert recognised(message, message.index(b">") + 1)


@pytest.mark.parametrize("rest", MALFORMED_DATA)
def test_malformed_structured_data_stays_in_the_text(rest: bytes) -> None:
    header = view(b"<34>1 2003-10-11T22:14:15Z h a p m " + rest)
    assert header.dialect == "rfc5424"
    assert header[5:] == (b"h", b"a", b"p", b"m", None, rest)
    assert not well_formed(b"<34>1 2003-10-11T22:14:15Z h a p m " + rest)


@pytest.mark.parametrize(("message", "host", "program", "procid", "text"), RFC3164)
def test_rfc3164(
    message: bytes,
    host: bytes | None,
    program: bytes | None,
    procid: bytes | None,
    text: bytes,
) -> None:
    header = view(message)
    assert header.dialect == ("junos" if b">1 " in message else "rfc3164")
    assert header.stamp is not None
    assert header[5:] == (host, program, procid, None, None, text)


@pytest.mark.parametrize("message", HEADLESS)
def test_without_a_stamp_all_is_text(message: bytes) -> None:
    value, at = priority(message)
    header = view(message)
    assert header.dialect == "none"
    assert header.priority == value
    assert header[4:] == (None,) * 6 + (message[at:],)


@pytest.mark.parametrize(
    ("message", "expected"),
    [(b"<34>x", (34, 4, 2)), (b"<0>x", (0, 0, 0)), (b"x", (None, 1, 5)), (b"<192>", (None, 1, 5))],
)
def test_priority_facility_severity(message: bytes, expected: tuple[int | None, int, int]) -> None:
    assert view(message)[:3] == expected


@given(MESSAGES)
def test_any_bytes_have_a_view(message: bytes) -> None:
    header = view(message)
    _, at = priority(message)
    assert recognised(message, at) == (header.dialect != "none")
    data = header.structured_data or b""
    assert data5424(message) == (data if header.dialect == "rfc5424" else None)
    if header.dialect == "rfc5424":
        assert message.endswith(header.text)
    for field in header[5:10]:
        assert field is None or (isinstance(field, bytes) and field in message)
    elements(header.structured_data or b"")


@given(MESSAGES)
def test_what_is_well_formed_is_seen_as_rfc5424(message: bytes) -> None:
    if well_formed(message):
        assert view(message).dialect == "rfc5424"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (RFC5424[0][0], True),
        (b"<34>1 - - - - - -", True),
        (b"<34>1 2003-10-11T22:14:15.000003-07:00 h a p m - t", True),
        (b"<34>1 2003-10-11T22:14:15.0000031-07:00 h a p m - t", False),
        (b"<34>1 2003-10-11T22:14:60Z h a p m - t", False),
        (b"<34>1 2003-02-29T22:14:15Z h a p m - t", False),
        (b"<34>1 2003-10-11T22:14:15 h a p m - t", False),
        (b"<192>1 - - - - - -", False),
        (b"<034>1 - - - - - -", False),
        (b"1 - - - - - -", False),
        (b"<34>1 - h " + b"a" * 49 + b" p m - t", False),
        (b"<34>1 - h\xc3\xa4 a p m - t", False),
        (b"<34>1 - su: a p m - t", False),
        (b"<34>1 - h a p m -t", False),
        (b'<34>1 - h a p m [x v="' + b"y" * 3000 + b'"] t', True),
        (b"<34>1 - h a p m [" + b"x" * 33 + b"] t", False),
    ],
)
def test_well_formed(message: bytes, expected: bool) -> None:
    assert well_formed(message) is expected


def test_well_formed_data() -> None:
    assert well_formed_data(b'[x v="1"][y]')
    assert not well_formed_data(b'[x v="1"] [y]')


def test_elements_are_unescaped() -> None:
    data = rb'[a@1 x="1" y="q\"b\\s\]e\n"][b][c x="1" x="2"]'
    assert elements(data) == [
        (b"a@1", [(b"x", b"1"), (b"y", rb'q"b\s]e\n')]),
        (b"b", []),
        (b"c", [(b"x", b"1"), (b"x", b"2")]),
    ]


VALUES = st.binary(max_size=20)
NAMES = st.from_regex(rb"\A[a-zA-Z0-9@.-]{1,12}\Z")


@given(st.lists(st.tuples(NAMES, st.lists(st.tuples(NAMES, VALUES), max_size=3)), min_size=1))
def test_escaped_elements_come_back(
    written: list[tuple[bytes, list[tuple[bytes, bytes]]]],
) -> None:
    def escape(value: bytes) -> bytes:
        for special in (b"\\", b'"', b"]"):
            value = value.replace(special, b"\\" + special)
        return value

    data = b"".join(
        b"[%b%b]"
        % (name, b"".join(b' %b="%b"' % (key, escape(value)) for key, value in parameters))
        for name, parameters in written
    )
    assert elements(data) == written
    header = view(b"<34>1 - h a p m " + data + b" text")
    assert header.structured_data == data
    assert header.text == b"text"


def test_hostile_lengths_take_no_longer_than_they_are() -> None:
    """Quadratic patterns would take minutes here."""
    for part in (b"[", b'[a b="', b"a: ", b"1: ", b"\\", b"a", b'[a b="c"]', b' a="b"', b"x:"):
        for head in (b"<13>", b"<13>1 - h a p m ", b"<13>1 - ", b"<13>Oct 11 22:14:15 ",
                     b"<13>1 - h a p m [a"):  # fmt: skip
            message = head + part * (262_144 // len(part))
            elements(view(message).structured_data or b"")
            well_formed(message)
