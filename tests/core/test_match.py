import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.core.batch import Batch
from relay.core.match import Match, Views
from relay.core.pattern import compile_pattern
from relay.core.tables import Tables
from relay.wire.message import view
from relay.wire.priority import FACILITIES, SEVERITIES
from tests.core.parts import make_batch

BSD = b"<38>Oct 11 22:14:15 mymachine su[230]: failed for lonvick"
IETF = (
    b"<165>1 2003-10-11T22:14:15.003Z web1.example.com evntslog - ID47 - \xef\xbb\xbfAn application"
)
PLAIN = b"no header at all"


def select(tables: list[Match], views: Views) -> list[int]:
    return list(Tables(tables).select(views, range(len(views.batch))))


def matches(rule: dict[str, Any], message: bytes, **batch: Any) -> bool:  # noqa: ANN401
    chosen = select([Match(**rule)], Views(make_batch(message, **batch)))
    return bool(chosen)


@pytest.mark.parametrize(
    ("rule", "message", "expected"),
    [
        ({}, BSD, True),
        ({}, b"", True),
        # facility: names in any case, aliases, numbers; 13 is user.notice where there is no PRI
        ({"facility": "auth"}, BSD, True),
        ({"facility": "AUTH"}, BSD, True),
        ({"facility": "security"}, BSD, True),
        ({"facility": 4}, BSD, True),
        ({"facility": ["mail", "auth"]}, BSD, True),
        ({"facility": [2, "4"]}, BSD, True),
        ({"facility": "authpriv"}, BSD, False),
        ({"facility": "local4"}, IETF, True),
        ({"facility": "user"}, PLAIN, True),
        ({"facility": "user"}, b"<999>wrong", True),
        ({"facility": "kern"}, b"<0>", True),
        # severity: this or worse
        ({"severity": "info"}, BSD, True),
        ({"severity": "debug"}, BSD, True),
        ({"severity": 6}, BSD, True),
        ({"severity": "notice"}, BSD, False),
        ({"severity": "notice"}, IETF, True),
        ({"severity": "warning"}, IETF, False),
        ({"severity": "notice"}, PLAIN, True),
        ({"severity": "warn"}, PLAIN, False),
        ({"severity": "panic"}, b"<0>", True),
        ({"severity": 0}, b"<1>", False),
        # program: APP-NAME or tag, without the process id
        ({"program": "su"}, BSD, True),
        ({"program": "SU"}, BSD, True),
        ({"program": "s"}, BSD, False),
        ({"program": ["x", "evntslog"]}, IETF, True),
        ({"program": "su"}, PLAIN, False),
        ({"program": "*"}, PLAIN, False),
        ({"program": "*"}, b"<13>Oct 11 22:14:15 h no tag here", False),
        ({"program": "s?"}, BSD, True),
        ({"program": "s??"}, BSD, False),
        ({"program": "*log"}, IETF, True),
        ({"program": "*nts*"}, IETF, True),
        ({"program": "e*n*s*o*g"}, IETF, True),
        ({"program": "E*N?S*"}, IETF, True),
        ({"program": "**"}, IETF, True),
        ({"program": "*ent"}, IETF, False),
        ({"program": "nts*"}, IETF, False),
        ({"program": "postfix/*"}, b"<22>Oct 11 22:14:15 h postfix/smtpd[7]: x", True),
        ({"program": "postfix.*"}, b"<22>Oct 11 22:14:15 h postfix/smtpd[7]: x", False),
        ({"program": "a[b]*"}, b"<13>1 - h a[b]c - - - x", True),
        ({"program": "a[b]*"}, b"<13>1 - h abc - - - x", False),
        ({"program": "a(b*"}, b"<13>1 - h a(bc - - - x", True),
        ({"program": r"a\Z*"}, rb"<13>1 - h a\z - - - x", True),
        ({"program": "caf\xe9*"}, "<13>1 - h café-server - - - x".encode(), True),
        ({"program": "x*"}, b"<13>1 - h x\xff\xfe - - - x", True),
        # host
        ({"host": "mymachine"}, BSD, True),
        ({"host": "web1"}, IETF, False),
        ({"host": "Web1.example.COM"}, IETF, True),
        ({"host": "web?.example.com"}, IETF, True),
        ({"host": "*.example.*"}, IETF, True),
        ({"host": ["db*", "*.com"]}, IETF, True),
        ({"host": "web1?example.com"}, IETF, True),
        ({"host": "web1.example.com"}, PLAIN, False),
        # contains: bytes, case and all
        ({"contains": "failed for"}, BSD, True),
        ({"contains": "Failed for"}, BSD, False),
        ({"contains": ["nothing", "lonvick"]}, BSD, True),
        ({"contains": "<38>"}, BSD, True),
        ({"contains": "grün"}, "<13>grün".encode(), True),
        ({"contains": "grün"}, "<13>grün".encode("latin-1"), False),
        # regex: anywhere, bytes as Latin-1
        ({"regex": "fail(ed|ure) for"}, BSD, True),
        ({"regex": "^failed"}, BSD, False),
        ({"regex": r"^<\d+>Oct"}, BSD, True),
        ({"regex": "lonvick$"}, BSD, True),
        ({"regex": r"\xff\x00"}, b"<13>a\xff\x00b", True),
        ({"regex": "^<13>a.b$"}, b"<13>a\xffb", True),
        ({"regex": "^<13>a.b$"}, "<13>aöb".encode(), False),
        ({"regex": "^<13>a..b$"}, "<13>aöb".encode(), True),
        ({"regex": "ö"}, "<13>aöb".encode(), True),
        ({"regex": "(?i)FAILED"}, BSD, True),
        ({"regex": "a.b"}, b"<13>a\nb", False),
        ({"regex": "(?s)a.b"}, b"<13>a\nb", True),
        # every key in a table must hold
        ({"facility": "auth", "severity": "info", "program": "su", "host": "my*",
          "contains": "for", "regex": "l.n"}, BSD, True),
        ({"facility": "auth", "severity": "err", "program": "su"}, BSD, False),
        ({"facility": "auth", "severity": "info", "program": "sudo"}, BSD, False),
        # not
        ({"not": {"program": "su"}}, BSD, False),
        ({"not": {"program": "sudo"}}, BSD, True),
        ({"facility": "auth", "not": {"severity": "err"}}, BSD, True),
        ({"facility": "mail", "not": {"severity": "err"}}, BSD, False),
        ({"not": {"facility": "auth", "program": "sudo"}}, BSD, True),
        ({"not": {"not": {"program": "su"}}}, BSD, True),
        ({"not": {}}, BSD, False),
    ],
)  # fmt: skip
def test_one_table(rule: dict[str, Any], message: bytes, expected: bool) -> None:
    assert matches(rule, message) == expected


@pytest.mark.parametrize(
    ("networks", "sender", "expected"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("fe80::/10", "fe80::1%2", True),
        (["192.0.2.0/24", "::1"], "::1", True),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "192.0.2.1", False),
        (["0.0.0.0/0", "::/0"], "local", False),
        ("192.0.2.1", "fw1.example.net@192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1@192.0.2.2", False),
    ],
)
def test_senders_are_addresses_in_networks(
    networks: str | list[str], sender: str, expected: bool
) -> None:
    assert matches({"sender": networks}, BSD, sender=sender) == expected


@pytest.mark.parametrize(
    ("names", "sender", "expected"),
    [
        ("fw1.example.net", "fw1.example.net@192.0.2.1", True),
        ("FW1.example.net", "fw1.Example.net@192.0.2.1", True),
        ("*.example.net", "fw1.example.net@192.0.2.1", True),
        ("*.example.net", "fw1.example.net.evil.test@192.0.2.1", False),
        (["fw2.example.net", "fw1.*"], "fw1.example.net@local", True),
        ("*", "fw1@192.0.2.1", True),
        ("*", "192.0.2.1", False),
        ("*", "local", False),
        ("192.0.2.1", "192.0.2.1", False),
    ],
)
def test_certificates_are_names_and_who_has_none_matches_nothing(
    names: str | list[str], sender: str, expected: bool
) -> None:
    assert matches({"peer_certificate": names}, BSD, sender=sender) == expected
    assert matches({"not": {"peer_certificate": names}}, BSD, sender=sender) != expected


def test_each_message_has_its_senders_certificate() -> None:
    batch = Batch.of([b"a", b"b", b"c"], ["fw1@192.0.2.1", "192.0.2.1", "fw2@192.0.2.1"], "net", 0)
    assert select([Match.model_validate({"peer_certificate": "fw?"})], Views(batch)) == [0, 2]


def test_each_message_has_its_sender() -> None:
    batch = Batch.of([b"a", b"b", b"c"], ["192.0.2.1", "local", "192.0.2.1"], "net", 0)
    assert select([Match.model_validate({"sender": "192.0.2.1"})], Views(batch)) == [0, 2]


@pytest.mark.parametrize(
    ("listeners", "expected"), [("net", True), ("edge", False), (["edge", "net"], True)]
)
def test_listeners_by_name(listeners: str | list[str], expected: bool) -> None:
    assert matches({"listener": listeners}, BSD, listener="net") == expected


def test_any_table_may_match_and_places_come_once_and_in_order() -> None:
    views = Views(make_batch(b"<13>a", b"<11>b", b"<38>a", b"<38>b"))
    rules = [Match(contains=("b",)), Match(facility=(4,)), Match(severity=3)]
    assert select(rules, views) == [1, 2, 3]
    assert select([], views) == [0, 1, 2, 3], "without a table, all"


# -- the selectors that OpenBSD's syslogd tests, each as tables of ours. There a later part of a
# -- selector overrides an earlier one; here tables only add, so `not` says what is taken back.

SENT = [f"{facility}.{severity}" for facility in ("local5", "local6", "local7")
        for severity in ("notice", "warning", "err")]  # fmt: skip


def of(facility: str, *severities: str) -> list[str]:
    return [f"{facility}.{severity}" for severity in severities or ("notice", "warning", "err")]


ALL_WARNING = [sent for sent in SENT if not sent.endswith("notice")]
ALL_ERR = [sent for sent in SENT if sent.endswith("err")]
LOCAL67 = ["local6", "local7"]


@pytest.mark.parametrize(
    ("selector", "rules", "expected"),
    [
        ("*.*", [{}], SENT),
        ("*.info", [{"severity": "info"}], SENT),
        ("*.notice", [{"severity": "notice"}], SENT),
        ("*.warning", [{"severity": "warning"}], ALL_WARNING),
        ("*.err", [{"severity": "err"}], ALL_ERR),
        ("*.crit", [{"severity": "crit"}], []),
        ("*.none", [{"not": {}}], []),
        ("local5.*", [{"facility": "local5"}], of("local5")),
        ("local5.info", [{"facility": "local5", "severity": "info"}], of("local5")),
        ("local5.notice", [{"facility": "local5", "severity": "notice"}], of("local5")),
        ("local5.warning", [{"facility": "local5", "severity": "warning"}],
         of("local5", "warning", "err")),
        ("local5.err", [{"facility": "local5", "severity": "err"}], of("local5", "err")),
        ("local5.crit", [{"facility": "local5", "severity": "crit"}], []),
        ("local5.none", [{"facility": "local5", "not": {"facility": "local5"}}], []),
        ("local5.warning;local5.err",
         [{"facility": "local5", "severity": "warning", "not": {"not": {"severity": "err"}}}],
         of("local5", "err")),
        ("local5.err;local5.warning",
         [{"facility": "local5", "severity": "err"}, {"facility": "local5", "severity": "warning"}],
         of("local5", "warning", "err")),
        ("local6.warning;local7.err",
         [{"facility": "local6", "severity": "warning"}, {"facility": "local7", "severity": "err"}],
         [*of("local6", "warning", "err"), *of("local7", "err")]),
        ("local6.err;local7.err",
         [{"facility": "local6", "severity": "err"}, {"facility": "local7", "severity": "err"}],
         [*of("local6", "err"), *of("local7", "err")]),
        ("local6,local7.err", [{"facility": LOCAL67, "severity": "err"}],
         [*of("local6", "err"), *of("local7", "err")]),
        ("local6,local7.warning;local6.err",
         [{"facility": LOCAL67, "severity": "warning", "not": {"facility": "local6"}},
          {"facility": "local6", "severity": "err"}],
         [*of("local6", "err"), *of("local7", "warning", "err")]),
        ("*.*;local6,local7.none", [{"not": {"facility": LOCAL67}}], of("local5")),
    ],
)  # fmt: skip
def test_openbsd_selectors_as_tables(
    selector: str, rules: list[dict[str, Any]], expected: list[str]
) -> None:
    messages = []
    for sent in SENT:
        facility, severity = sent.split(".")
        priority = FACILITIES[facility] * 8 + SEVERITIES[severity]
        messages.append(b"<%d>Oct 11 22:14:15 host test: %b" % (priority, sent.encode()))
    views = Views(make_batch(*messages))
    chosen = select([Match(**rule) for rule in rules], views)
    assert [SENT[place] for place in chosen] == expected, selector


# -- patterns


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*a){12}b"])
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    message = b"<13>" + b"a" * 10_000 + b"!"
    began = time.monotonic()
    assert not matches({"regex": pattern}, message)
    assert time.monotonic() - began < 5  # 19 s for 29 octets with `re`; milliseconds with RE2


@given(st.text(min_size=1), st.binary(max_size=50))
def test_any_name_with_wildcards_is_a_pattern(name: str, program: bytes) -> None:
    rule = Match(program=("*" + name + "*",))
    header = b"<13>1 2003-10-11T22:14:15Z host %b - - - text"
    select([rule], Views(make_batch(header % program, header % name.encode("utf-8", "replace"))))


@given(st.from_regex(r"[a-z.]{0,6}", fullmatch=True), st.from_regex(r"[a-z.]{0,6}", fullmatch=True),
       st.from_regex(r"[a-z.]{1,6}", fullmatch=True))  # fmt: skip
def test_a_star_stands_for_any_characters(before: str, after: str, between: str) -> None:
    message = f"<13>1 - h {before}{between}{after} - - - x".encode()
    assert matches({"program": f"{before}*{after}"}, message)
    assert matches({"program": f"*{before}*{after}*"}, message)
    assert matches({"program": before + "?" * len(between) + after}, message)
    assert not matches({"program": f"{before}*{after}_"}, message)


@given(st.lists(st.binary(), min_size=1, max_size=5))
def test_any_bytes_can_be_looked_at(messages: list[bytes]) -> None:
    rule = Match.model_validate(
        {
            "facility": list(range(24)),
            "severity": "debug",
            "regex": "a|b|$",
            "not": {"host": "?*?*"},
        }
    )
    chosen = rule.select(Views(make_batch(*messages)), range(len(messages)))
    assert list(chosen) == sorted(set(chosen))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"facility": "lokal1"}, "unknown facility 'lokal1' (known: kern, user"),
        ({"facility": 24}, "unknown facility 24"),
        ({"facility": True}, "facility"),
        ({"facility": []}, "at least 1 item"),
        ({"facility": 1.5}, "facility"),
        ({"severity": "worst"}, "unknown severity 'worst' (known: emerg, alert"),
        ({"severity": 8}, "unknown severity 8"),
        ({"severity": -1}, "unknown severity -1"),
        ({"severity": ["info"]}, "unknown severity ['info']"),
        ({"program": ""}, "at least 1 character"),
        ({"program": []}, "at least 1 item"),
        ({"sender": "192.0.2.1/24"}, "has host bits set"),
        ({"sender": "local"}, "does not appear to be an IPv4 or IPv6 network"),
        ({"sender": 5}, "expected an address or a network, not 5"),
        ({"regex": "(a"}, "bad regular expression '(a': missing ): (a"),
        ({"regex": r"(a)\1"}, "bad regular expression"),
        ({"regex": 5}, "expected a regular expression, not 5"),
        ({"contains": None, "nothing": 1}, "Extra inputs are not permitted"),
        ({"not": {"severity": "worst"}}, "unknown severity"),
        ({"not_": {}}, "Extra inputs are not permitted"),
    ],
)
def test_what_a_table_does_not_take(rule: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Match(**rule)
    assert reason in str(raised.value)


def test_a_bad_pattern_says_why() -> None:
    with pytest.raises(ValueError, match="bad regular expression"):
        compile_pattern("a{9999}")


def test_tables_that_were_used_are_still_equal() -> None:
    rule = {"program": ["a*", "b"], "host": "h", "regex": "x", "not": {"severity": "err"}}
    used, fresh = Match.model_validate(rule), Match.model_validate(rule)
    select([used], Views(make_batch(BSD, IETF)))
    assert used == fresh
    assert used.model_dump(by_alias=True, exclude_none=True)["regex"] == "x"
    assert Match.model_json_schema(by_alias=True)["$defs"]["Match"]["properties"]["not"]


def test_only_headers_that_are_asked_for_are_read_and_none_of_them_twice() -> None:
    batch = make_batch(BSD, IETF, PLAIN)
    views = Views(batch)
    select([Match(severity="notice", program="evntslog")], views)
    assert [it is not None for it in views.known_headers] == [False, True, True]
    header = views.headers([1])[1]
    assert header == view(IETF)
    some = views.select(batch.select([1, 0]), [1, 0])
    assert some.batch.messages == [IETF, BSD]
    assert some.headers([0, 1]) == [view(IETF), view(BSD)]
    assert some.headers([0])[0] is header
    assert some.priorities == bytes([views.priorities[1], views.priorities[0]])
