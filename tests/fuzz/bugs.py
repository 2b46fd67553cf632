"""Planted bugs: mutations of the code that ships, each of which a target must find in its corpus.

That a target can fail is what makes its silence mean something.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from unittest import mock

from relay.admin import admission, guard
from relay.cli import verify
from relay.core.mask import Masking
from relay.destinations import template
from relay.spool import cursor, reader, recovery, segment
from relay.spool.page import Slot
from relay.system.tls import identity
from relay.wire import (
    attribution,
    escape,
    formats,
    fronts,
    kmsg,
    lines,
    message,
    normalise,
    plain,
    rewrite,
)
from relay.wire.framing import Framer
from relay.wire.hop import Hop
from relay.wire.relp import client
from relay.wire.relp.frame import FrameReader
from relay.wire.relp.server import ServerSession
from tests.fuzz.targets import client_hello, export


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    finder: str  # the target
    target: object
    attribute: str
    mutate: Callable[[Any], Any]  # from what ships to what is wrong
    deep: bool = False  # not in the corpus: the fuzzer has to find out

    @contextmanager
    def planted(self) -> Iterator[None]:
        shipped = getattr(self.target, self.attribute)
        with mock.patch.object(self.target, self.attribute, self.mutate(shipped)):
            yield


def instead(value: object) -> Callable[[Any], Any]:
    return lambda _: value


def answers(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function whose answers are changed."""

    def mutate(shipped: Any) -> Any:
        return lambda *args, **keys: change(shipped(*args, **keys))

    return mutate


def fails_at_three(shipped: Any) -> Any:
    """Each octet is a branch of its own."""

    def mutant(data: bytes) -> Any:
        if data[:1] == b"\xb7":  # noqa: SIM102
            if data[1:2] == b"z":  # noqa: SIM102
                if data[2:3] == b"\x02":
                    raise ValueError("found")
        return shipped(data)

    return mutant


def forgets_the_rest(_: Any) -> Any:
    def feed(self: FrameReader, data: bytes) -> None:
        self.data, self.pos = data, 0

    return feed


def confirms_anything(_: Any) -> Any:
    def confirm(self: client.ClientSession, txnr: int) -> int:
        self.unanswered -= 1
        return 1

    return confirm


def counts_twice(shipped: Any) -> Any:
    def add(self: ServerSession, taken: list[bytes], messages: list[bytes]) -> None:
        shipped(self, taken, messages)
        self.unanswered += len(taken)

    return add


def writes_no_owed(shipped: Any) -> Any:
    def write(self: Slot, account: Any, **keys: Any) -> None:
        self.page.before.clear()
        shipped(self, account, **keys)

    return write


BUGS = [
    Bug("a CR before LF is text", "framing", Framer, "_ending", answers(lambda _: 0)),
    Bug("cut text is not counted", "framing", Framer, "_hold",
        lambda _: lambda self, data, pos, end: self._held.extend(data[pos:end])),
    Bug("three octets bring it down", "client_hello", client_hello, "is_client_hello",
        fails_at_three, deep=True),
    Bug("a stamp has no end", "header", message, "place",
        answers(lambda place: place and place._replace(end=place.end + 999))),
    Bug("text loses its first octet", "header", message, "_rfc3164",
        answers(lambda header: header._replace(text=header.text[1:]))),
    Bug("a tag is added again", "header", attribution, "_is_other", instead(lambda *_: True)),
    Bug("a header is put in front of headers", "normalise", normalise, "recognised",
        instead(lambda *_: False)),
    Bug("kern is kept", "normalise", normalise, "_without_kern", instead(lambda it: it)),
    Bug("fields of any length are written", "formats", formats, "_fits", instead(lambda *_: True)),
    Bug("a host may be anything", "formats", formats, "_HOST", instead(re.compile(b"(?s).*"))),
    Bug("lines in JSON are not escaped", "formats", formats, "quoted",
        answers(lambda text: text + b"\n")),
    Bug("the short way keeps a mark of byte order", "formats", fronts, "_BOM", instead(b"")),
    Bug("a zone is a host", "header", message, "PLAIN3164",
        lambda shipped: re.compile(shipped.pattern.replace(plain._NO_HOST, b""))),
    Bug("everything is plain", "formats", formats, "_is_plain", instead(lambda *_: True)),
    Bug("C1 controls are left", "escape", escape, "_C1", instead(re.compile(b"(?!)"))),
    Bug("terminators are left", "escape", escape, "_octal", instead(lambda octets: octets)),
    Bug("an earlier hop of ours stays", "hop", Hop, "_others",
        lambda _: lambda self, found: [it[len(b"[relay@32473 ") : -1] for name, it in found
                                       if name == b"relay@32473"]),
    Bug("what is taken at once is owed twice", "relp_server", ServerSession, "_add", counts_twice),
    Bug("the rest of a piece is forgotten", "relp_server", FrameReader, "feed", forgets_the_rest),
    Bug("any answer confirms", "relp_client", client, "_says_yes", instead(lambda _: True)),
    Bug("answers ahead confirm the oldest", "relp_client", client.ClientSession, "_confirm",
        confirms_anything),
    Bug("senders stand in the wrong place", "segment", segment, "_numbers",
        lambda shipped: lambda numbers: shipped(reversed([*numbers]))),
    Bug("lengths are believed", "segment", segment, "accumulate",
        lambda shipped: lambda lengths, initial: [*[*shipped(lengths, initial=initial)][:-1], 0]),
    Bug("names beyond all numbers are segments", "recovery", recovery, "_NUMBER_MAX",
        instead(10**20)),
    Bug("a range of damage is one too long", "recovery", reader, "_damaged",
        answers(lambda damaged: replace(damaged, messages=damaged.messages + 1))),
    Bug("a slot has no CRC", "cursor", cursor, "pack", answers(lambda it: (it[0], it[1][:-4]))),
    Bug("a put forgets who was before", "cursor", Slot, "write", writes_no_owed),
    Bug("a fragment goes to anybody", "kmsg", kmsg, "join", answers(lambda joined: joined[:1])),
    Bug("names are not escaped", "kmsg", kmsg, "element",
        instead(lambda name, fields: b"[%b %b]" % (name, b"".join(k + v for k, v in fields)))),
    Bug("priorities are kept", "rewrite", rewrite, "_with_priority", instead(lambda it, _: it)),
    Bug("what is masked stays", "rewrite", Masking, "mask", instead(lambda _, message: message)),
    Bug("a handshake is anything", "client_hello", client_hello, "is_client_hello",
        instead(lambda data: data[0] == 0x16)),
    Bug("a mistake ends it", "configuration", import_module("relay.config.load"), "key_lines",
        instead(lambda _: dict[str, int]()["x"])),
    Bug("a mistake has no place", "configuration", import_module("relay.config.load"), "line_of",
        instead(lambda *_: 1 << 20)),
    Bug("dots lead upwards", "template", template, "_UNSAFE",
        instead(re.compile("[^./A-Za-z0-9_-]"))),
    Bug("names may be long", "template", template, "clip", instead(lambda text, _: text * 9)),
    Bug("messages are changed", "export", export, "objects",
        answers(lambda text: text.replace(b"a", b"b"))),
    Bug("gaps are passed over", "export", verify, "_append",
        instead(lambda runs, first, end: runs.append((first, end + 1)))),
    Bug("names move the terminal", "export", verify, "upstream_text",
        instead(lambda name: name.decode("latin-1"))),
    Bug("no token is needed", "admission", guard, "shows_token", instead(lambda _: True)),
    Bug("anybody changes something", "admission", guard, "_door",
        lambda shipped: lambda scope: mock.Mock(local=True, access=shipped(scope).access)),
    Bug("there is always room", "admission", admission.Admission, "_crowd", instead(lambda *_: [])),
    Bug("names are shown as they are", "identity", identity, "clean", instead(lambda text: text)),
    Bug("everybody is permitted", "identity", identity.Permits, "check", instead(lambda *_: None)),
    Bug("a hole is text", "lines", lines.Lines, "_whole",
        lambda _: lambda self, line: self._cut(line, 0)),
    Bug("what is long is not counted", "lines", lines, "clip", instead(lambda text, _: text)),
]  # fmt: skip
