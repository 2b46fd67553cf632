"""File paths with placeholders, filled in from what messages say and confined to a base directory.

Half of what goes into such a path was written by strangers. A value is reduced to characters that
cannot leave its component, is never empty and never begins with a dot, so that no component can
become `.` or `..` whatever stands around the placeholder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from relay.core.batch import Batch
from relay.wire.clip import clip
from relay.wire.message import view
from relay.wire.priority import facility_name, severity_name
from relay.wire.sender import LOCAL, address_of

PLACEHOLDERS = ("host", "program", "facility", "severity", "sender", "listener", "date")
VALUE_MAX = 128  # characters of one value; more says nothing that a file name needs
COMPONENT_OCTETS_MAX = 255  # NAME_MAX of every Linux file system; longer gives ENAMETOOLONG

_NAMES = ("sender", "host", "program", "facility", "severity")  # what differs within a batch
_HEADER = frozenset(_NAMES[1:])
_DAY_NS = 86_400 * 10**9
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"^\.+|[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path as configured, in its parts.

    `pieces` are literals and, at odd places, placeholders (as `re.split` gives them).
    """

    base: str
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, path: str, base: str | None) -> "PathTemplate":
        """Without `base`, that is the directory of `path` up to its first placeholder.

        A relative path that does not begin with a given base stands below it.

        Raises:
            ValueError: no path of a file, or one that is not below its base.
        """
        pieces = _PLACEHOLDER.split(path)
        for name in pieces[1::2]:
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                raise ValueError(f"unknown placeholder {{{name}}} (known: {known})")
        if any(brace in literal for literal in pieces[::2] for brace in "{}"):
            raise ValueError(f"unbalanced brace in {path!r}")
        if ".." in path.split("/"):
            raise ValueError(f'no component may be ".." in {path!r}')
        if path.endswith("/"):
            raise ValueError(f"{path!r} is a directory, expected a file")
        base, relative = _split(path, pieces[0], base)
        return cls(base, tuple(_PLACEHOLDER.split(relative)))

    @property
    def fixed(self) -> str | None:
        """The path below the base when it has no placeholder."""
        return self.pieces[0] if len(self.pieces) == 1 else None

    def paths(self, batches: Sequence[Batch], our_name: str) -> list[str]:
        """The path below the base of each message; headers are looked at only if it needs them."""
        identify = _identify if _HEADER.intersection(self.pieces[1::2]) else _identify_sender
        known: dict[tuple[object, ...], str] = {}
        paths = []
        for batch in batches:
            day = batch.received_ns // _DAY_NS
            for message, sender in zip(batch.messages, batch.senders, strict=True):
                identity = identify(message, sender, our_name)
                key = (batch.listener, day, *identity)
                if key not in known:
                    known[key] = self._fill(batch.listener, day, identity)
                paths.append(known[key])
        return paths

    def _fill(self, listener: str, day: int, identity: tuple[str, ...]) -> str:
        values = dict(zip(_NAMES, identity, strict=False))
        values["listener"] = listener
        values["date"] = (date(1970, 1, 1) + timedelta(day)).isoformat()
        filled = list(self.pieces)
        filled[1::2] = [_reduced(values[name]) for name in self.pieces[1::2]]
        components = "".join(filled).split("/")
        return "/".join(
            clip(component.encode(), COMPONENT_OCTETS_MAX).decode() for component in components
        )


def _split(path: str, literal: str, base: str | None) -> tuple[str, str]:
    """Base and the path below it, without empty components and `.`."""
    if base is None:
        base = literal[: literal.rfind("/") + 1]  # with its slash, so that "/" stays
        relative = path.removeprefix(base)
        base = base.rstrip("/") or base[:1] or "."
    else:
        inside = base.rstrip("/") + "/"
        if path.startswith("/") and not literal.startswith(inside):
            raise ValueError(f"{path!r} is not below base {base!r}")
        relative = path.removeprefix(inside)
    components = [each for each in relative.split("/") if each not in ("", ".")]
    if not components:
        raise ValueError(f"{path!r} names no file")
    return base, "/".join(components)


def _identify(message: bytes, sender: str, our_name: str) -> tuple[str, ...]:
    """What may differ within a batch, in the order of `_NAMES`."""
    header = view(message)
    return (
        address_of(sender),
        _text(header.host) or (our_name if sender == LOCAL else address_of(sender)),
        _text(header.program),
        facility_name(header.facility),
        severity_name(header.severity),
    )


def _identify_sender(_: bytes, sender: str, __: str) -> tuple[str, ...]:
    return (address_of(sender),)


def _text(field: bytes | None) -> str:
    return field.decode("latin-1") if field else ""


def _reduced(value: str) -> str:
    """A value that cannot leave its component."""
    return _UNSAFE.sub("_", value[:VALUE_MAX]) or "-"
