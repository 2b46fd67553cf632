"""Patterns over the bytes of a message, read as Latin-1, by RE2: in time linear in their number."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from relay.core.types import load

# What RE2 looks for in one step. More than this may be more than it keeps in memory; then it goes
# through the text a step at a time, a hundred times as slowly: seen from 8,400 octets on.
TEXTS_OCTETS_MAX = 4000
HINT_MAX = 4 * TEXTS_OCTETS_MAX  # characters of a hint of such texts: four an octet


def library() -> Any:  # noqa: ANN401 - no types
    """RE2, which takes 2.4 MiB that a configuration without patterns need not pay.

    Keys that become patterns import it when they are read, which is in a thread at a reload; so no
    message has to wait for it.

    Raises:
        ImportError: it cannot be loaded.
    """
    return load("re2")


def compile_pattern(pattern: str, *, captures: bool = True) -> Any:  # noqa: ANN401 - no types
    """A pattern over the bytes of a message; without `captures` its groups are not told.

    Raises:
        ValueError: RE2 does not accept it (https://github.com/google/re2/wiki/Syntax).
    """
    re2 = library()
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = False
    options.log_errors = False
    options.never_capture = not captures
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else exc
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"bad regular expression {pattern!r}: {text}") from exc


def one_of(names: Sequence[str]) -> Callable[[bytes | None], bool]:
    """Whether a field is one of these names, `*` and `?` allowed, case ignored as in RFC 1035."""
    plain = {name.lower().encode() for name in names if not set(name) & set("*?")}
    globs = [compile_pattern(_glob(name)) for name in names if set(name) & set("*?")]

    def is_one(field: bytes | None) -> bool:
        if field is None:
            return False
        return field.lower() in plain or any(glob.fullmatch(field) for glob in globs)

    return is_one


def _glob(name: str) -> str:
    """`fnmatch.translate` makes atomic groups, which RE2 does not have."""
    return "(?is)" + "".join(_WILDCARDS.get(char) or re.escape(char) for char in name)


_WILDCARDS = {"*": ".*", "?": "."}


# Hints: what is found in every message that a key of `match` takes, as a pattern for many messages
# at once with LF between them (`Joined`). A hint finds too much rather than too little.


def compile_hint(hint: str | None) -> Any:  # noqa: ANN401 - no types
    """A hint to search with; None where there is none, or where it is too large for RE2."""
    try:
        return None if hint is None else compile_pattern(hint, captures=False)
    except ValueError:
        return None


def hint_of_texts(texts: Iterable[str]) -> str | None:
    """Any of these texts; None where that is more than `TEXTS_OCTETS_MAX`."""
    texts = list(texts)
    many = sum(len(text.encode()) for text in texts) > TEXTS_OCTETS_MAX
    return None if many else "|".join(map(_quoted, texts))


def hint_of_names(names: Iterable[str]) -> str | None:
    """What a message has in which a field is `one_of` these names; None: nothing in particular.

    A field is a part of its message as it stands there.
    """
    pieces = [_piece(name) for name in names]
    hint = hint_of_texts(pieces) if all(pieces) else None
    return None if hint is None else f"(?i:{hint})"


def hint_of_regex(regex: str) -> str | None:
    r"""What matches wherever this does; None where it depends on what is not in the message.

    With `(?m)`, `^` and `$` match beside an LF, too. Not so `\A` and `\z`, nor where the
    expression switches that off again.
    """
    return None if re.search(_BOUND_TO_ENDS, regex) else "(?m)" + regex


def _piece(name: str) -> str:
    """What every field has that is this name, case ignored as `one_of` does it for each kind."""
    return max(re.split("[*?]+", name), key=len) if set(name) & set("*?") else name.lower()


_BOUND_TO_ENDS = r"\\[Az]|\(\?[A-Za-z]*-"


def _quoted(text: str) -> str:
    return "".join(f"\\x{octet:02x}" for octet in text.encode())
