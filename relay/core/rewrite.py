"""`rewrite`: header fields of a message that are set, and structured data that is added."""

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from relay.core.batch import Batch
from relay.core.keys import Keys
from relay.core.match import Facility, Match, Severity, Views
from relay.core.tables import Tables
from relay.core.values import listed, or_one
from relay.wire.formats import Form, convert
from relay.wire.rewrite import Change, rewrite
from relay.wire.timestamp import zone

_HOST = r"[A-Za-z0-9_.:@/-]{0,254}[A-Za-z0-9_.@/-]"
_PROGRAM = r"(?!\d+$)[A-Za-z0-9_.@/+-]{1,48}"  # digits alone are no RFC 3164 tag
# RFC 5424 section 6.3: an SD-ID is registered, or a name of one's own with an enterprise number.
_ID = r"(?:timeQuality|origin|meta|[!#-<>?A-\\^-~]{1,30}@[\d.]+)"
_NAME = r"[!#-<>-\\^-~]{1,32}"
_SPECIAL = r'(["\\\]])'


def _check(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value[:80]!r} is no {what}")
        return value

    return AfterValidator(check)


Host = Annotated[str, _check(_HOST, "host name of letters, digits and _.:@/-")]
Program = Annotated[str, _check(_PROGRAM, "program name of 1 to 48 letters, digits and _.@/+-")]


def _check_data(data: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    for name, parameters in data.items():
        if not re.fullmatch(_ID, name) or len(name) > 32:
            raise ValueError(f'{name[:80]!r} is no SD-ID such as "site@32473"')
        for key, value in parameters.items():
            if not re.fullmatch(_NAME, key):
                raise ValueError(f"{key[:80]!r} is no parameter name of 1 to 32 characters")
            if len(value) > 1024 or not value.isprintable():
                raise ValueError(f"{name} {key}: expected at most 1024 printable characters")
    return data


class Rewrite(Keys):
    """One table of `rewrite`."""

    match: Annotated[
        tuple[Match, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)
    ] = ()
    """Which messages, as in a pipe's `match`; default: all."""
    facility: Facility | None = None
    """Set the facility, by name or number."""
    severity: Severity | None = None
    """Set the severity."""
    host: Host | None = None
    """Set the host of the header."""
    program: Program | None = None
    """Set the program (APP-NAME or tag); a process id stays."""
    data: Annotated[
        dict[str, dict[str, str]], Field(default_factory=dict), AfterValidator(_check_data)
    ]
    """Structured data to add: tables of names and values by SD-ID. Makes a message RFC 5424."""

    def change(self) -> Change:
        return Change(
            self.facility,
            self.severity,
            self.host.encode() if self.host is not None else None,
            self.program.encode() if self.program is not None else None,
            tuple((name.encode(), _element(name, table)) for name, table in self.data.items()),
        )


def _escape(special: re.Match[str]) -> str:
    return "\\" + special[0]


def _element(name: str, parameters: Mapping[str, str]) -> bytes:
    """Section 6.3.3: quotes, backslashes and closing brackets have a backslash in front."""
    texts = [f' {key}="{re.sub(_SPECIAL, _escape, value)}"' for key, value in parameters.items()]
    return f"[{name}{''.join(texts)}]".encode()


class Rewriting(NamedTuple):
    """One table, ready to be used. What no header field has a place for becomes RFC 5424."""

    match: Tables
    change: Change
    our_name: str

    def apply(self, views: Views) -> tuple[Batch, int]:
        """The batch with its messages changed, and how many were; the same one if none."""
        batch = views.batch
        places = self.match.select(views, range(len(batch)))
        messages = list(batch.messages)
        headers = views.known_headers
        changed = 0
        for place in places:
            before = messages[place]
            after = rewrite(before, self.change, headers[place])
            if after is None:
                after = rewrite(self._as_rfc5424(batch, place), self.change)
                assert after is not None
            changed += after != before
            messages[place] = after
        return (batch.with_messages(messages) if changed else batch), changed

    def _as_rfc5424(self, batch: Batch, place: int) -> bytes:
        (message,) = convert(
            [batch.messages[place]],
            [batch.senders[place]],
            Form("rfc5424", self.our_name),
            received_ns=batch.received_ns,
            zone=zone(batch.zone),
        )
        return message
