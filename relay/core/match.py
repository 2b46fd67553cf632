"""`match`: which messages a pipe takes. Decided for a batch at a time, one key after the other."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Annotated, Any, cast

import re2
from pydantic import BeforeValidator, Field, WithJsonSchema

from relay.core.batch import Batch
from relay.core.keys import Keys
from relay.core.networks import Networks, Senders
from relay.core.values import listed_words
from relay.wire.message import HeaderView, view
from relay.wire.priority import FACILITIES, SEVERITIES, parse_facility, parse_severity, priorities
from relay.wire.sender import certificate_of


class Views:
    """What the rules look at in a batch, read once for all pipes and only when a rule asks."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    @cached_property
    def priorities(self) -> Sequence[int]:
        return priorities(self.batch.messages)

    def headers(self, places: Sequence[int]) -> Sequence[HeaderView]:
        """By place; only those of `places`, and those asked for before, are there."""
        headers, messages = self.known_headers, self.batch.messages
        for place in places:
            if headers[place] is None:
                headers[place] = view(messages[place])
        return cast(Sequence[HeaderView], headers)

    @cached_property
    def known_headers(self) -> list[HeaderView | None]:
        """None where no rule has asked for it yet."""
        return [None] * len(self.batch)

    def select(self, batch: Batch, places: Sequence[int]) -> "Views":
        """Those of a batch of the messages at these places; what was read is not read again."""
        views = Views(batch)
        for name, read in self.__dict__.items():
            if name != "batch":
                views.__dict__[name] = [read[place] for place in places]
        return views


def select(rules: Iterable["Match"], views: Views) -> list[int]:
    """The places of the messages that any of the rules matches, in order."""
    chosen: set[int] = set()
    for rule in rules:
        rest = [i for i in range(len(views.batch)) if i not in chosen]
        chosen.update(rule.select(views, rest))
    return sorted(chosen)


def select_in(rules: Sequence["Match"], views: Views, places: Sequence[int]) -> Sequence[int]:
    """Those of the places that any of the rules matches, in order; all if there is no rule."""
    if not rules:
        return places
    if len(rules) == 1:
        return rules[0].select(views, places)
    chosen: set[int] = set()
    for rule in rules:
        chosen.update(rule.select(views, [i for i in places if i not in chosen]))
    return sorted(chosen)


def _latin1_options() -> Any:  # noqa: ANN401 - the binding has no types
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = False
    options.log_errors = False
    return options


def compile_pattern(pattern: str) -> Any:  # noqa: ANN401 - the binding has no types
    """A pattern over the bytes of a message, read as Latin-1, in time linear in their number.

    Raises:
        ValueError: RE2 does not accept it (https://github.com/google/re2/wiki/Syntax).
    """
    try:
        return re2.compile(pattern.encode(), _latin1_options())
    except re2.error as exc:
        reason = exc.args[0] if exc.args else exc
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"bad regular expression {pattern!r}: {text}") from exc


def _number(
    value: object, parse: Callable[[str], int | None], known: Iterable[str], what: str
) -> int:
    number = parse(str(value)) if isinstance(value, (str, int)) else None
    if number is None:
        raise ValueError(f"unknown {what} {value!r} (known: {', '.join(known)})")
    return number


def _facility(value: object) -> int:
    return _number(value, parse_facility, FACILITIES, "facility")


def _severity(value: object) -> int:
    return _number(value, parse_severity, SEVERITIES, "severity")


def _regex(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a regular expression, not {value!r}")  # noqa: TRY004
    compile_pattern(value)
    return value


def _strings(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]})


_NAME = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
Facility = Annotated[int, BeforeValidator(_facility), WithJsonSchema(_NAME)]
Severity = Annotated[
    int, BeforeValidator(_severity), WithJsonSchema({"enum": [*SEVERITIES, *range(8)]})
]
Facilities = Annotated[
    tuple[Facility, ...], BeforeValidator(listed_words), Field(min_length=1), _strings(_NAME)
]
Strings = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(listed_words),
    Field(min_length=1),
    _strings({"type": "string", "minLength": 1}),
]
Regex = Annotated[
    str,
    BeforeValidator(_regex),
    WithJsonSchema({"type": "string"}),
]


class Match(Keys):
    """One table of `match`: a message must satisfy every key in it."""

    facility: Facilities | None = None
    """Names or numbers of facilities."""
    severity: Severity | None = None
    """This severity or worse."""
    program: Strings | None = None
    """Program names (APP-NAME or tag); `*` and `?` stand for any characters."""
    host: Strings | None = None
    """Host names in the header; `*` and `?` stand for any characters."""
    sender: Networks | None = None
    """Addresses or networks that the message came from."""
    peer_certificate: Strings | None = None
    """Names in its sender's verified certificate; `*` and `?` stand for any characters."""
    listener: Strings | None = None
    """Names of listeners that received it."""
    contains: Strings | None = None
    """Any of these texts, anywhere in the message."""
    regex: Regex | None = None
    """An RE2 regular expression, found anywhere in the message (bytes read as Latin-1)."""
    not_: "Match | None" = Field(default=None, alias="not")
    """A table of the same keys that must not match."""

    def select(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        """Those of the places that this table matches; cheap keys first."""
        for chosen in self._steps:
            if not places:
                break
            places = chosen(views, places)
        return places

    @cached_property
    def _steps(self) -> Sequence[Callable[[Views, Sequence[int]], Sequence[int]]]:
        steps = (
            (self.listener, self._by_listener),
            (self.severity, self._by_severity),
            (self.facility, self._by_facility),
            (self.sender, self._by_sender),
            (self.peer_certificate, self._by_certificate),
            (self.contains, self._by_contains),
            (self.program, self._by_program),
            (self.host, self._by_host),
            (self.regex, self._by_regex),
            (self.not_, self._by_not),
        )
        return [step for key, step in steps if key is not None]

    def _by_listener(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.listener is not None
        return places if views.batch.listener in self.listener else []

    def _by_severity(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.severity is not None
        worst, priorities = self.severity, views.priorities
        return [i for i in places if priorities[i] & 7 <= worst]

    def _by_facility(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.facility is not None
        wanted, priorities = self.facility, views.priorities
        return [i for i in places if priorities[i] >> 3 in wanted]

    def _by_sender(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        senders, wanted = views.batch.senders, self._senders
        return [i for i in places if senders[i] in wanted]

    def _by_certificate(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        senders = views.batch.senders
        chosen = {it for it in set(senders) if self._certificates(certificate_of(it).encode())}
        return [i for i in places if senders[i] in chosen] if chosen else []

    def _by_contains(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.contains is not None
        texts = [text.encode() for text in self.contains]
        messages = views.batch.messages
        if len(texts) == 1:  # 0.1 µs a message, with `any` 0.5
            [text] = texts
            return [i for i in places if text in messages[i]]
        return [i for i in places if any(text in messages[i] for text in texts)]

    def _by_program(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        headers, wanted = views.headers(places), self._programs
        return [i for i in places if wanted(headers[i].program)]

    def _by_host(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        headers, wanted = views.headers(places), self._hosts
        return [i for i in places if wanted(headers[i].host)]

    def _by_regex(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.regex is not None
        messages, search = views.batch.messages, self._pattern.search
        return [i for i in places if search(messages[i])]

    def _by_not(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.not_ is not None
        unwanted = set(self.not_.select(views, places))
        return [i for i in places if i not in unwanted]

    @cached_property
    def _senders(self) -> Senders:
        assert self.sender is not None
        return Senders(self.sender)

    @cached_property
    def _certificates(self) -> Callable[[bytes | None], bool]:
        assert self.peer_certificate is not None
        named = _one_of(self.peer_certificate)
        return lambda certificate: bool(certificate) and named(certificate)

    @cached_property
    def _pattern(self) -> Any:  # noqa: ANN401 - the binding has no types
        # Not the field itself: compiled patterns are equal only while the binding caches them.
        assert self.regex is not None
        return compile_pattern(self.regex)

    @cached_property
    def _programs(self) -> Callable[[bytes | None], bool]:
        assert self.program is not None
        return _one_of(self.program)

    @cached_property
    def _hosts(self) -> Callable[[bytes | None], bool]:
        assert self.host is not None
        return _one_of(self.host)


def _glob(name: str) -> str:
    """`fnmatch.translate` makes atomic groups, which RE2 does not have."""
    return "(?is)" + "".join(_WILDCARDS.get(char) or re.escape(char) for char in name)


_WILDCARDS = {"*": ".*", "?": "."}


def _one_of(names: Sequence[str]) -> Callable[[bytes | None], bool]:
    """Whether a field is one of these names, `*` and `?` allowed, case ignored as in RFC 1035."""
    plain = {name.lower().encode() for name in names if not set(name) & set("*?")}
    globs = [compile_pattern(_glob(name)) for name in names if set(name) & set("*?")]

    def is_one(field: bytes | None) -> bool:
        if field is None:
            return False
        return field.lower() in plain or any(glob.fullmatch(field) for glob in globs)

    return is_one
