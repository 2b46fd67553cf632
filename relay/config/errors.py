"""What is wrong with a configuration: every mistake at once, each with its place."""

from collections.abc import Sequence
from typing import NamedTuple


class ConfigError(NamedTuple):
    """One mistake, printed as `file:line: key: text`."""

    file: str
    line: int | None  # None: the file could not be read
    column: int | None  # only where it is known: bad syntax, bad bytes
    key: str  # empty where no key is to blame
    text: str

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line, self.column) if part is not None]
        return ": ".join(part for part in (":".join(place), self.key, self.text) if part)


class ConfigErrors(Exception):
    """All mistakes of a file, in the order of its lines."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        assert errors
        self.errors = tuple(sorted(errors, key=lambda error: (error.line or 0, error.key)))
        super().__init__("\n".join(map(str, self.errors)))
