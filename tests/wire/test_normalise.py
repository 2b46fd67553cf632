"""Normalising: what is missing goes in front, once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire import normalise as module
from relay.wire.message import recognised, view
from relay.wire.normalise import normalise
from relay.wire.priority import priority

RECEIVED = 1795418925_123_456_789
STAMP = b"2026-11-23T07:28:45.123Z"


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    forget()


def forget() -> None:
    module._KNOWN.clear()
    module._KNOWN_LOCAL.clear()


def one(
    message: bytes, *, local: bool = False, host: bytes | None = None, sender: str = "192.0.2.7"
) -> tuple[bytes, int]:
    messages, invalid = normalise([message], [sender], received_ns=RECEIVED, host=host, local=local)
    return messages[0], invalid


UNCHANGED = [
    b"<34>1 2003-10-11T22:14:15.003Z host su - ID47 - x",
    b"<34>1 - - - - - - nothing known, nothing wrong",
    b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
    b"<13>Oct 11 22:14:15 su[1]: a host may be missing",
    b"<0>Oct  1 22:14:15 h kernel: from the network kern is kept",
    b"<166>2018-06-27T12:17:46Z asa : %ASA-3-710003: x",
    b"<164>Jan 31 2020 17:24:03: %ASA-4-402119: x",
    b"<180>782431: machine1: .Nov 18 21:03:22.631 GMT: %CDP-4-X: x",
    b"<189>: 2020 Nov 23 04:42:22 EDT: %L2FM-4-X: x",
    b"<134>1 1563249630.774247467 devicename security_event",
    b"<165>1 2007-02-15T09:17:15.719Z mib2d[1484]: SNMP_TRAP_LINK_UP: x",
    b"<12> 01/10/2001:01:01:01 GMT netscaler ABC-D : SSLVPN",
    b"<191>Oct 11 22:14:15",
]


@pytest.mark.parametrize("message", UNCHANGED)
def test_a_known_header_is_left_alone(message: bytes) -> None:
    for _ in range(2):  # the second time the opening may be known
        result, invalid = one(message)
        assert result is message
        assert invalid == 0


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"Use the BFG!", b"<13>%b 192.0.2.7 Use the BFG!"),
        (b"", b"<13>%b 192.0.2.7 "),
        (b"<13>", b"<13>%b 192.0.2.7 "),
        (b"<189>82: 00:20:10: %SYS-5-X: y", b"<189>%b 192.0.2.7 82: 00:20:10: %%SYS-5-X: y"),
        (b"<192>Oct 11 22:14:15 h x", b"<13>%b 192.0.2.7 <192>Oct 11 22:14:15 h x"),
        (b"<013>x", b"<13>%b 192.0.2.7 <013>x"),
        (b"<0>x", b"<0>%b 192.0.2.7 x"),
        (b"<34>Feb 31 22:14:15 h su: x", b"<34>%b 192.0.2.7 Feb 31 22:14:15 h su: x"),
    ],
)
def test_what_is_missing_goes_in_front(message: bytes, expected: bytes) -> None:
    assert one(message) == (expected % STAMP, 1)


@pytest.mark.parametrize(
    "message", [b"Oct 11 22:14:15 h su: x", b"1 2003-10-11T22:14:15Z h a p m - x", b"1 - - - - - -"]
)
def test_a_header_without_pri_gets_pri_only(message: bytes) -> None:
    assert one(message) == (b"<13>" + message, 1)


def test_the_host_is_the_one_given_or_the_sender() -> None:
    assert one(b"x", host=b"edge01", sender="local")[0] == b"<13>%b edge01 x" % STAMP
    assert one(b"x", sender="2001:db8::1")[0] == b"<13>%b 2001:db8::1 x" % STAMP
    assert one(b"x", sender="fw1.example.net@192.0.2.7")[0] == b"<13>%b 192.0.2.7 x" % STAMP
    assert one(b"x", sender="")[0] == b"<13>%b - x" % STAMP


@pytest.mark.parametrize(
    ("message", "expected", "invalid"),
    [
        (b"<0>Oct 11 22:14:15 su: x", b"<8>Oct 11 22:14:15 su: x", 0),
        (b"<7>1 2003-10-11T22:14:15Z h a p m - x", b"<15>1 2003-10-11T22:14:15Z h a p m - x", 0),
        (b"<6>x", b"<14>%b edge01 x" % STAMP, 1),
        (b"<8>Oct 11 22:14:15 su: x", b"<8>Oct 11 22:14:15 su: x", 0),
        (b"x", b"<13>%b edge01 x" % STAMP, 1),
    ],
)
def test_on_local_listeners_kern_becomes_user(
    message: bytes, expected: bytes, invalid: int
) -> None:
    one(message)  # what the network memo knows is no reason here
    assert one(message, local=True, host=b"edge01") == (expected, invalid)


def test_a_batch_without_fault_is_the_same_object() -> None:
    batch = UNCHANGED[:1] * 3
    one(batch[0])
    messages, invalid = normalise(batch, ["a"] * 3, received_ns=RECEIVED, host=None, local=False)
    assert messages is batch
    assert invalid == 0


def test_each_message_gets_its_own_sender_and_faults_are_counted() -> None:
    messages, invalid = normalise(
        [b"x", UNCHANGED[0], b"<13>y"],
        ["a", "b", "c"],
        received_ns=RECEIVED,
        host=None,
        local=False,
    )
    assert list(messages) == [b"<13>%b a x" % STAMP, UNCHANGED[0], b"<13>%b c y" % STAMP]
    assert invalid == 2


def test_the_memo_is_bounded() -> None:
    batch = [b"<13>Oct 11 22:14:15 %d" % i for i in range(20_000)]
    messages, invalid = normalise(
        batch, ["a"] * len(batch), received_ns=RECEIVED, host=None, local=False
    )
    assert list(messages) == batch
    assert invalid == 0
    assert 0 < len(module._KNOWN) <= 8192


# stamp; rest
STAMPS = [
    (b"", b"no stamp"),
    (b"Nov 23 07:28:44 ", b"su: BSD"),
    (b"Nov  3 07:28:44 ", b"su: a space for the day"),
    (b"Nov 03 07:28:44 ", b"su: a zero for the day"),
    (b"Nov 23 07:28:44 2026 ", b"su: a year behind"),
    (b"2026-11-23T07:28:44Z ", b"su: UTC"),
    (b"2026-11-23T07:28:44 ", b"su: no offset"),
    (b"2026-11-23T08:28:44+01:00 ", b"su: an offset"),
    (b"2026-11-23T07:28:44.1Z ", b"su: a digit"),
    (b"2026-11-23T07:28:44.123Z ", b"su: three"),
    (b"2026-11-23T07:28:44.123456Z ", b"su: six"),
    (b"2026-11-23T07:28:44.123456789Z ", b"su: nine"),
    (b"2026-11-23T07:28:44.Z ", b"su: none behind the point"),
]


@pytest.mark.parametrize(("written", "rest"), STAMPS)
def test_stamps_are_kept_or_become_the_time_of_receipt(written: bytes, rest: bytes) -> None:
    message = b"<13>" + written + rest
    headed = written not in (b"", b"2026-11-23T07:28:44.Z ")
    host = b"" if written else b"edge01 "
    for restamp in (False, True):
        messages, _ = normalise(
            [message], ["local"], received_ns=RECEIVED, host=b"edge01", local=True, restamp=restamp
        )
        if headed and not restamp:
            assert messages[0] is message
        elif headed or not written:
            assert messages[0] == b"<13>%b %b%b" % (STAMP, host, rest)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"<34>1 - h su - - - x", b"<34>1 %b h su - - - x"),  # the NILVALUE as well
        (b"<34>1 2003-10-11T22:14:15.003Z h su - - - x", b"<34>1 %b h su - - - x"),
        (b"<9>1 1563249630.774247467 mx84 flows", b"<9>1 %b mx84 flows"),
        (b"<189>8: *Mar  1 2010 00:20:10.663 UTC: %SYS-5-X: y", b"<189>8: *%b: %%SYS-5-X: y"),
        (b"<12> 01/10/2001:01:01:01 GMT ns1 x", b"<12> %b ns1 x"),
        (b"<30>Nov 23 02:28:45 EST gw1 su: x", b"<30>%b gw1 su: x"),
        (
            b"<30>date=2026-11-23 time=07:28:45 devname=fw1",
            b"<30>%b fw1 date=2026-11-23 time=07:28:45 devname=fw1",
        ),
        (b"1 - h su - - - x", b"<13>1 %b h su - - - x"),
        (b"x", b"<13>%b 192.0.2.7 x"),
        (b"<189>8: r1: 00:20:10: %SYS-5-X: y", b"<189>%b r1 8: r1: 00:20:10: %%SYS-5-X: y"),
    ],
)
def test_the_time_of_receipt_stands_where_the_stamp_stood(message: bytes, expected: bytes) -> None:
    (result,), _ = normalise(
        [message], ["192.0.2.7"], received_ns=RECEIVED, host=None, local=False, restamp=True
    )
    assert result == expected % STAMP


def test_kern_becomes_user_with_the_time_of_receipt_too() -> None:
    (result,), invalid = normalise(
        [b"<6>Nov 23 07:28:44 su: x"], ["local"],
        received_ns=RECEIVED, host=b"edge01", local=True, restamp=True,
    )  # fmt: skip
    assert result == b"<14>%b su: x" % STAMP
    assert invalid == 0


WORDS = st.sampled_from(
    [b"<13>", b"<0>", b"<191>", b"1 ", b"2003-10-11T22:14:15.003Z", b"2003-10-11T22:14:15",
     b"Oct 11 22:14:15", b"Feb 29 ", b"22:14:15", b"2020 ", b"2019", b"- ", b"host ", b"su: ",
     b"12: ", b": ", b"*", b".", b" ", b"UTC", b"01/10/2001:01:01:01", b"1563249630.7 "]
)  # fmt: skip
MESSAGES = st.lists(WORDS | st.binary(max_size=6), max_size=10).map(b"".join)
SENDERS = st.sampled_from(["192.0.2.7", "2001:db8::1", "fe80::", "local", ""])


@given(MESSAGES, SENDERS, st.booleans())
def test_a_second_hop_adds_nothing(message: bytes, sender: str, local: bool) -> None:
    first, _ = one(message, local=local, sender=sender)
    second, invalid = one(first, local=local, sender="198.51.100.1")
    assert second is first
    assert invalid == 0
    assert first.endswith(message[priority(message)[1] :])
    value, at = priority(first)
    assert value is not None
    assert recognised(first, at)


@given(MESSAGES, MESSAGES, st.integers(0, 40), st.booleans())
def test_what_is_known_changes_no_verdict(
    earlier: bytes, rest: bytes, common: int, local: bool
) -> None:
    """A message is judged alike whether or not one with the same opening came before."""
    later = earlier[:common] + rest
    forget()
    cold = one(later, local=local)
    forget()
    one(earlier, local=local)
    assert one(later, local=local) == cold
    for opening in module._KNOWN_LOCAL if local else module._KNOWN:
        header = view(opening + rest)
        assert header.priority is not None
        assert header.dialect != "none"
