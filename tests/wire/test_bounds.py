"""What a header costs: a bounded look at its beginning, whatever follows."""

import re
from functools import partial
from types import ModuleType

import pytest

from relay.wire import dialects, message, notation, plain
from relay.wire.dialects import named_host
from relay.wire.message import view
from relay.wire.normalise import normalise

# Structured data has no length of its own (RFC 5424 §6.3). These take each octet once: their
# repetitions give nothing back.
WHOLE_DATA = {"_STRUCTURED", "_STRICT", "_PARAMETER", "_WHOLE_ELEMENT", "PLAIN5424"}
LOOK_OCTETS_MAX = 12 * (32 + 1 + 257 + 2)  # the fields of a firewall


def patterns(module: ModuleType) -> list[tuple[str, re.Pattern[bytes]]]:
    """Those of a module by name, the rare ones compiled for it."""
    at_once = [(name, it) for name, it in vars(module).items() if isinstance(it, re.Pattern)]
    rare = [(name, it) for name, it in vars(module).items() if hasattr(it, "__wrapped__")]
    return at_once + [(name, it()) for name, it in rare if isinstance(it.__wrapped__, partial)]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [it for module in (dialects, message, notation, plain) for it in patterns(module)],
)
def test_no_pattern_takes_more_than_a_bounded_prefix(name: str, pattern: re.Pattern[bytes]) -> None:
    _, most = re._parser.parse(pattern.pattern, pattern.flags).getwidth()  # type: ignore[attr-defined]
    assert most <= LOOK_OCTETS_MAX or name in WHOLE_DATA


def test_the_rare_ones_are_among_them() -> None:
    assert {"_zone", "_cisco", "_first_fields"} <= {name for name, _ in patterns(dialects)}
    assert {"_BSD", "_BSD_REST", "_NUMBERS"} <= {name for name, _ in patterns(notation)}


HEADS = [
    b"", b"<13>",
    b"<13>1 ", b"<13>1 - ", b"<13>1 2026-11-23T07:28:45.", b"<13>2026-11-23T07:28:45,",
    b"<13>Nov 23 07:28:45 ", b"<13>Nov 23 07:28:45.", b"<13>Nov 23 07:28:45 h a[", b"<13>12: ",
    b"<13>r1: ", b"<13>RP/0/1/CPU0:", b"<13>date=2026-11-23 time=07:28:45 devname=", b"<13>a=",
    b"<13>2026-11-23 07:28:45 ", b"<13>1 1563249630.", b"<13>1 - h a p m ",
    b"<13>Nov 23 07:28:45 00005e005309,",
]  # fmt: skip


PARTS = [
    b"a", b"1", b" ", b":", b"a: ", b"1: ", b"[", b'"', b"a=b ", b"/", b"a/", b"\0", b"\xff", b"a,",
    b".", b"%", b"1w", b"=", b"0" * 12,
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("head", HEADS)
def test_of_garbage_only_the_beginning_decides(head: bytes, part: bytes) -> None:
    """64 KiB more of the same change nothing but the text."""
    short = head + part * (2 * LOOK_OCTETS_MAX // len(part))
    long = short + part * (65_536 // len(part))
    one, other = view(short), view(long)
    assert one[:10] == other[:10]
    assert len(long) - len(other.text) == len(short) - len(one.text)
    assert other.text.startswith(one.text)
    assert named_host(short, 4) == named_host(long, 4)


@pytest.mark.parametrize("head", HEADS)
def test_a_mebibyte_of_any_head_is_normalised(head: bytes) -> None:
    for part in (b"a", b"a: ", b"12: ", b"a=b ", b"[a ", b'[a b="', b"\\", b" "):
        garbage = head + part * ((1 << 20) // len(part))
        for restamp in (False, True):
            (result,), _ = normalise(
                [garbage], ["192.0.2.7"], received_ns=0, host=None, local=False, restamp=restamp
            )
            assert result.endswith(garbage[-1000:])
