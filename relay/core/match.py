"""`match`: which messages a pipe takes. Decided for a batch at a time, one key after the other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from relay.core.batch import Batch
from relay.core.joined import Joined, worth_joining
from relay.core.keys import Keys
from relay.core.networks import Networks, Senders
from relay.core.pattern import (
    compile_hint,
    compile_pattern,
    hint_of_names,
    hint_of_regex,
    hint_of_texts,
    library,
    one_of,
)
from relay.core.values import listed_words
from relay.wire.message import HeaderView, view
from relay.wire.priority import FACILITIES, SEVERITIES, parse_facility, parse_severity, priorities
from relay.wire.sender import certificate_of


class Views:
    """What the rules look at in a batch, read once for all pipes and only when a rule asks."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    @cached_property
    def priorities(self) -> bytes:
        return bytes(priorities(self.batch.messages))

    @cached_property
    def joined(self) -> Joined:
        return Joined(self.batch.messages)

    def near(
        self,
        hint: Any,  # noqa: ANN401 - the binding has no types
        places: Sequence[int],
        among: Callable[[Sequence[int]], Sequence[int]],
    ) -> Sequence[int]:
        """`among(places)`, asked only near what is found in the batch as a whole.

        Of a hint `among` chooses nothing without; None: there is none. Few places are not worth it.
        """
        if hint is None or not worth_joining(len(self.batch), len(places)):
            return among(places)
        return self.joined.select(hint, places, among)

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
        if "priorities" in self.__dict__:
            views.priorities = bytes(self.priorities[place] for place in places)
        if "known_headers" in self.__dict__:
            views.known_headers = [self.known_headers[place] for place in places]
        return views


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


def _to_compile(names: tuple[str, ...]) -> tuple[str, ...]:
    """These become patterns when the first batch comes."""
    library()
    return names


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
    AfterValidator(_to_compile),
    _strings({"type": "string", "minLength": 1}),
]
Regex = Annotated[
    str,
    BeforeValidator(_regex),
    WithJsonSchema({"type": "string"}),
]


Step = Callable[[Views, Sequence[int]], Sequence[int]]  # those of the places that satisfy a key


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
        """Those of the places that this table matches, in order; cheap keys first."""
        for chosen in self._steps:
            if not places:
                break
            places = chosen(views, places)
        return places

    @cached_property
    def text_hint(self) -> str | None:
        """A few texts of which one is found in every message that this matches."""
        hints = self._hints
        return hints["contains"] or hints["program"] or hints["host"]

    @cached_property
    def _hints(self) -> Mapping[str, str | None]:
        """What is found in every message that satisfies a key; see `core/pattern.py`."""
        return {
            "contains": hint_of_texts(self.contains) if self.contains else None,
            "program": hint_of_names(self.program) if self.program else None,
            "host": hint_of_names(self.host) if self.host else None,
            "regex": hint_of_regex(self.regex) if self.regex else None,
        }

    @cached_property
    def _steps(self) -> Sequence[Step]:
        by_priority = self.severity is not None or self.facility is not None
        steps: Sequence[tuple[bool, Step]] = (
            (self.listener is not None, self._by_listener),
            (by_priority, self._by_priority),
            (self.sender is not None, self._by_sender),
            (self.peer_certificate is not None, self._by_certificate),
            (self.contains is not None, self._hinted("contains", self._by_contains)),
            (self.program is not None, self._hinted("program", self._by_program)),
            (self.host is not None, self._hinted("host", self._by_host)),
            (self.regex is not None, self._hinted("regex", self._by_regex)),
            (self.not_ is not None, self._by_not),
        )
        return [step for wanted, step in steps if wanted]

    def _hinted(self, key: str, step: Step) -> Step:
        """The same step, taken only near what its hint finds."""
        hint = compile_hint(self._hints[key])
        return lambda views, places: views.near(hint, places, partial(step, views))

    def _by_listener(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.listener is not None
        return places if views.batch.listener in self.listener else []

    def _by_priority(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        flags = views.priorities.translate(self._priorities)
        if 0 not in flags:
            return places
        if 1 not in flags:
            return []
        return [i for i in places if flags[i]]

    def _by_sender(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        senders, wanted = views.batch.senders, self._senders
        return [i for i in places if senders[i] in wanted]

    def _by_certificate(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        senders = views.batch.senders
        chosen = {it for it in set(senders) if self._certificates(certificate_of(it).encode())}
        return [i for i in places if senders[i] in chosen] if chosen else []

    def _by_contains(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        texts, messages = self._contained, views.batch.messages
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
        messages, search = views.batch.messages, self._pattern.search
        return [i for i in places if search(messages[i])]

    def _by_not(self, views: Views, places: Sequence[int]) -> Sequence[int]:
        assert self.not_ is not None
        unwanted = set(self.not_.select(views, places))
        return [i for i in places if i not in unwanted]

    @cached_property
    def _priorities(self) -> bytes:
        """A flag for each PRI value."""
        worst = 7 if self.severity is None else self.severity
        wanted = range(24) if self.facility is None else self.facility
        return bytes(value & 7 <= worst and value >> 3 in wanted for value in range(256))

    @cached_property
    def _senders(self) -> Senders:
        assert self.sender is not None
        return Senders(self.sender)

    @cached_property
    def _certificates(self) -> Callable[[bytes | None], bool]:
        assert self.peer_certificate is not None
        named = one_of(self.peer_certificate)
        return lambda certificate: bool(certificate) and named(certificate)

    @cached_property
    def _contained(self) -> Sequence[bytes]:
        assert self.contains is not None
        return [text.encode() for text in self.contains]

    @cached_property
    def _pattern(self) -> Any:  # noqa: ANN401 - the binding has no types
        # Not the field itself: compiled patterns are equal only while the binding caches them.
        assert self.regex is not None
        return compile_pattern(self.regex)

    @cached_property
    def _programs(self) -> Callable[[bytes | None], bool]:
        assert self.program is not None
        return one_of(self.program)

    @cached_property
    def _hosts(self) -> Callable[[bytes | None], bool]:
        assert self.host is not None
        return one_of(self.host)
