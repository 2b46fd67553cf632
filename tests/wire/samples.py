"""The corpus: what the field sends, and what becomes of it. Its shape is in corpus/README.md."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli

from relay.wire.formats import Form, Format, convert
from relay.wire.message import HeaderView, view
from relay.wire.normalise import normalise
from relay.wire.priority import facility_name, severity_name
from relay.wire.timestamp import rfc3339, zone

CORPUS = Path(__file__).parent / "corpus"
RECEIVED_NS = 1795418925_123_000_000  # 2026-11-23T07:28:45.123Z
SENDER = "192.0.2.7"
OUR_NAME = "relay.example.net"
FORMATS: tuple[Format, ...] = ("rfc5424", "rfc3164", "json")


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    received: bytes
    timezone: str
    local: bool
    header: dict[str, str] = field(repr=False)
    out: dict[str, bytes] = field(repr=False)

    @property
    def sender(self) -> str:
        return "local" if self.local else SENDER

    def normalised(self, *, restamp: bool = False) -> bytes:
        messages, _ = normalise(
            [self.received],
            [self.sender],
            received_ns=RECEIVED_NS,
            host=OUR_NAME.encode() if self.local else None,
            local=self.local,
            restamp=restamp,
        )
        return messages[0]

    def converted(self, to: Format) -> bytes:
        form = Form(to, OUR_NAME)
        at = zone(self.timezone)
        return convert([self.normalised()], [self.sender], form, received_ns=RECEIVED_NS, zone=at)[
            0
        ]

    def fields(self) -> dict[str, str]:
        """The header view of what is forwarded, as the corpus writes it."""
        return describe(view(self.normalised()), self.timezone)


def samples() -> Iterator[Sample]:
    for path in sorted(CORPUS.glob("*.toml")):
        for table in tomli.loads(path.read_text())["sample"]:
            yield _sample(path.stem, table)


def describe(header: HeaderView, timezone: str) -> dict[str, str]:
    """What is found, by the corpus's names; what is missing is left out."""
    moment = header.stamp.to_ns(RECEIVED_NS, zone(timezone)) if header.stamp else None
    found = {
        "dialect": header.dialect,
        "facility": facility_name(header.facility),
        "severity": severity_name(header.severity),
        "time": None if moment is None else rfc3339(moment, 9).decode(),
        "host": _characters(header.host),
        "program": _characters(header.program),
        "procid": _characters(header.procid),
        "msgid": _characters(header.msgid),
        "structured_data": _characters(header.structured_data),
        "text": _characters(header.text),
    }
    return {name: value for name, value in found.items() if value is not None}


def _sample(family: str, table: dict[str, Any]) -> Sample:
    received = _octets(table["received"])
    out = {name: _octets(text) for name, text in table["out"].items()}
    return Sample(
        f"{family}: {table['about']}", received, table.get("timezone", "UTC"),
        table.get("local", False), table["header"], {"preserve": received, **out},
    )  # fmt: skip


def _octets(text: str) -> bytes:
    return text.encode("latin-1")


def _characters(octets: bytes | None) -> str | None:
    return None if octets is None else octets.decode("latin-1")
