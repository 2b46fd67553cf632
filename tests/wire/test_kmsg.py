"""Records of /dev/kmsg, as Documentation/ABI/testing/dev-kmsg has them, and as kernels do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.kmsg import Record, join, message, parse
from relay.wire.message import view, well_formed

NS = 1_795_000_000_123_456_789
HEAD = b"1 2026-11-18T11:06:40.123456Z host"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # The examples of the kernel's own documentation.
        (b"7,160,424069,-;pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)\n",
         Record(7, 160, 424069, False, b"",
                b"pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)", [])),
        (b"6,339,5140900,-,caller=T1;NET: Registered protocol family 10\n SUBSYSTEM=net\n",
         Record(6, 339, 5140900, False, b"T1", b"NET: Registered protocol family 10",
                [(b"SUBSYSTEM", b"net")])),
        (b"30,340,5690716,-;udevd[80]: starting version 181\n",
         Record(30, 340, 5690716, False, b"", b"udevd[80]: starting version 181", [])),
        (b"6,341,5690800,-;usb 1-1: new\n SUBSYSTEM=usb\n DEVICE=c189:1\n",
         Record(6, 341, 5690800, False, b"", b"usb 1-1: new",
                [(b"SUBSYSTEM", b"usb"), (b"DEVICE", b"c189:1")])),
        # Escapes; what comes behind the flags, now and in later kernels; fragments old and new.
        (rb"6,1,2,-;line one\x0aline two \x5c \xc3\xa4 \x1b[0m",
         Record(6, 1, 2, False, b"", b"line one\nline two \\ \xc3\xa4 \x1b[0m", [])),
        (b"6,1,2,c,caller=C3,more=1;tail",
         Record(6, 1, 2, True, b"C3", b"tail", [])),
        (b"6,1,2,+;tail", Record(6, 1, 2, True, b"", b"tail", [])),
        (b"6,1,2,-;", Record(6, 1, 2, False, b"", b"", [])),
        # Userspace may write facilities that no other protocol has.
        (b"1019,1,2,-;x", Record(8 + 3, 1, 2, False, b"", b"x", [])),
        (b"191,1,18446744073709551615,-;x", Record(191, 1, 2**64 - 1, False, b"", b"x", [])),
        (rb"6,1,2,-;not an escape: \xg0 \x1 \\", Record(6, 1, 2, False, b"",
         rb"not an escape: \xg0 \x1 \\", [])),
    ],
)  # fmt: skip
def test_a_record(data: bytes, expected: Record) -> None:
    assert parse(data) == expected


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"hello", b"6;x", b"6,1;x", b"6,1,2;x", b"-6,1,2,-;x", b"6,1,2,-\n;x",
             b"6,1,2," + b"9" * 30, b"99999999999,1,2,-;x"],
)  # fmt: skip
def test_what_is_no_record(data: bytes) -> None:
    assert parse(data) is None


@given(st.binary(max_size=200))
def test_any_octets_never_raise(data: bytes) -> None:
    for each in (data, b"6,1,2,-;" + data):
        record = parse(each)
        assert record is None or well_formed(message(record, NS, b"host"))


def record(text: bytes, *, fragment: bool = False, caller: bytes = b"") -> Record:
    return Record(6, 1, 2, fragment, caller, text, [])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(b"a"), record(b"b", fragment=True), record(b"c", fragment=True)], [b"abc"]),
        ([record(b"a"), record(b"b"), record(b"c", fragment=True)], [b"a", b"bc"]),
        ([record(b"a", fragment=True), record(b"b")], [b"a", b"b"]),
        # Two CPUs write at once: a line goes on only where its own beginning is.
        ([record(b"a", caller=b"T1"), record(b"b", fragment=True, caller=b"T2")], [b"a", b"b"]),
        ([], []),
    ],
)
def test_fragments_are_put_together(records: list[Record], expected: list[bytes]) -> None:
    assert [it.text for it in join(records)] == expected


def test_the_kernel_is_the_program_of_its_own_records() -> None:
    found = parse(b"2,7,9,-;Oops: 0002\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n")
    assert found
    assert message(found, NS, b"host") == (
        b"<2>" + HEAD + b' kernel - - [kmsg@32473 SUBSYSTEM="pci" DEVICE="+pci:0000:00:01.0"] '
        b"Oops: 0002"
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"30,1,2,-;systemd[1]: Started.", b"<30>" + HEAD + b" systemd 1 - - Started."),
        (b"12,1,2,-;hello world", b"<12>" + HEAD + b" - - - - hello world"),
        (b"6,1,2,-;systemd[1]: forged", b"<6>" + HEAD + b" kernel - - - systemd[1]: forged"),
    ],
)
def test_a_tag_names_the_program_where_another_one_wrote(data: bytes, expected: bytes) -> None:
    found = parse(data)
    assert found
    assert message(found, NS, b"host") == expected
    assert view(expected).priority == found.priority
