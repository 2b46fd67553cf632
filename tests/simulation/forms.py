"""What a pipe makes of a message, written here again for the oracle; and back, for hop records."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from relay.wire.formats import Form, convert
from tests.simulation.configuration import PipePlan, Table
from tests.simulation.messages import HIDDEN, SECRET, identify, is_cut_count

_PRIORITY = {"facility": {"local4": 20}, "severity": {"err": 3}}
_RECORD = re.compile(
    rb'((?:\S+ ){6})\[relay@32473 hop="edge/(\S+)/([0-9a-f]{16})/(\d+)"\]'
    rb'(?:\[origin(?: ip="([^"]*)")?(?: software="relay" swVersion="\S+")?\])?'
    rb'\[meta sequenceId="\d+"\](.*)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Record:
    """What stands in a message of who has sent it."""

    pipe: str
    epoch: int
    number: int
    sender: str  # its address; empty: a program on the relay's host


def form_of(pipe: PipePlan, message: bytes) -> bytes:
    """What leaves the pipe for this message, its hop record apart."""
    return sent_form(pipe, kept_form(pipe, message))


def kept_form(pipe: PipePlan, message: bytes) -> bytes:
    """What the pipe's channel has of this message."""
    if identify(message):
        for table in pipe.keys.get("rewrite", ()):
            message = _rewritten(table, message)
    return message.replace(SECRET, _masked(pipe.keys["mask"])) if "mask" in pipe.keys else message


def sent_form(pipe: PipePlan, message: bytes) -> bytes:
    """What leaves for what the channel has: a hop record needs a place, which some have not."""
    if not pipe.stamps or not is_cut_count(message):
        return message
    form = Form("rfc5424", "edge")
    return convert([message], ["local"], form, received_ns=0, zone=UTC)[0]


def _rewritten(table: Table, message: bytes) -> bytes:
    start, stamp, host, program, procid, msgid, rest = message.split(b" ", 6)
    if program != b"app":
        return message
    facility, severity = divmod(int(start[1:-2]), 8)
    facility = _PRIORITY["facility"].get(table.get("facility", ""), facility)
    severity = _PRIORITY["severity"].get(table.get("severity", ""), severity)
    host = table.get("host", host.decode()).encode()
    program = table.get("program", program.decode()).encode()
    if "data" in table:
        rest = b'[site@32473 name="berlin"]' + rest.removeprefix(b"-")
    start = b"<%d>1" % (facility * 8 + severity)
    return b" ".join([start, stamp, host, program, procid, msgid, rest])


def _masked(tables: Sequence[Table]) -> bytes:
    """What stands in the place of the secret."""
    text = SECRET
    for table in tables:
        with_ = table.get("with", "***").encode()
        text = text.replace(b"us", with_) if "(us)" in table["regex"] else with_
    assert HIDDEN.fullmatch(text)
    return text


def without_stamps(pipe: PipePlan, messages: Sequence[bytes]) -> list[bytes]:
    """Each without the hop record that it must have, if the pipe stamps."""
    return [unstamped(it) for it in messages] if pipe.stamps else list(messages)


def unstamped(message: bytes) -> bytes:
    """The message without its hop record, which it must have."""
    return _divided(message)[0]


def record_of(message: bytes) -> Record:
    return _divided(message)[1]


def _divided(message: bytes) -> tuple[bytes, Record]:
    found = _RECORD.fullmatch(message)
    assert found, f"no hop record in {message!r:.300}"
    head, pipe, epoch, number, sender, rest = found.groups()
    record = Record(pipe.decode(), int(epoch, 16), int(number), (sender or b"").decode())
    return head + (rest if rest.startswith(b"[") else b"-" + rest), record
