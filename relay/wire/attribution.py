"""Who wrote a local message, put where its header says so: the kernel knows better."""

import re
from collections.abc import Callable

from relay.wire.message import split_tag, view
from relay.wire.priority import priority

_NOT_IN_TAG = re.compile(rb"[^!-~]|[%:\[\]\"'{}<>=]")  # see `message`: what a tag cannot have

Program = Callable[[int], bytes]


def attribute(message: bytes, pid: int, program: Program | None) -> tuple[bytes, bool]:
    """The message with the process id of its sender, and whether it had claimed another.

    A number in its place that is not `pid` is replaced. With `program`, which names a process (or
    not: empty), what the header lacks is added as well. A process id that is no number stays.
    """
    header = view(message)
    if header.dialect == "rfc5424":
        return _in_fields(message, header.procid, pid, program)
    name, procid, text = header.program, header.procid, header.text
    if header.dialect == "none":
        name, procid, text = split_tag(message[priority(message)[1] :])
    if not message.endswith(text):
        return message, False  # a device's dialect, with counters in front: no program wrote this
    start = len(message) - len(text)
    if procid is not None:
        return _in_tag(message, start, procid, pid)
    if program is None or header.dialect not in ("rfc3164", "dated", "none"):
        return message, False
    if name is not None:
        end = message.rfind(name, 0, start) + len(name)
        return b"%b[%d]%b" % (message[:end], pid, message[end:]), False
    head = message[:start]
    if header.dialect != "none" and not head.endswith(b" "):
        head += b" "  # a header that ends with the message, or has its text glued to it
    called = tag_name(program(pid))
    return (b"%b%b[%d]: %b" % (head, called, pid, text) if called else message), False


def tag_name(name: bytes) -> bytes:
    """The name of a process (`comm` of proc(5) may be anything) as a tag can have it."""
    return _NOT_IN_TAG.sub(b"_", name)


def _in_tag(message: bytes, end: int, procid: bytes, pid: int) -> tuple[bytes, bool]:
    """`TAG[PROCID]: ` in front of `end`."""
    if not _is_other(procid, pid):
        return message, False
    at = message.rfind(b"[%b]" % procid, 0, end)
    return b"%b[%d]%b" % (message[:at], pid, message[at + len(procid) + 2 :]), True


def _in_fields(
    message: bytes, procid: bytes | None, pid: int, program: Program | None
) -> tuple[bytes, bool]:
    """RFC 5424 §6: `<PRI>1 STAMP HOST APP-NAME PROCID …`, a single space between them."""
    fields = message.split(b" ", 5)
    wrong = procid is not None and _is_other(procid, pid)
    if wrong or (program is not None and procid is None):
        fields[4] = b"%d" % pid
    if program is not None and fields[3] == b"-":
        fields[3] = tag_name(program(pid)) or b"-"
    return b" ".join(fields), wrong


def _is_other(procid: bytes, pid: int) -> bool:
    return procid.isdigit() and int(procid) != pid
