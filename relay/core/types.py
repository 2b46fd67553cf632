"""Types of components by name, each imported when it is first asked for."""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.machinery import SourceFileLoader
from typing import Any, TypeVar

from relay.core.keys import Keys

Model = TypeVar("Model", bound=Keys)


def _installation() -> Mapping[str, object] | None:
    """Size and time of this file: others after an upgrade, which writes every file anew."""
    loader = __spec__.loader
    try:
        return loader.path_stats(__file__) if isinstance(loader, SourceFileLoader) else None
    except OSError:
        return None


_STARTED = _installation()


class Types(Mapping[str, type[Model]]):
    """The class of each type, which is in the module of its name.

    A configuration names few of them, and only these are imported. A reload brings others in, also
    where root is given up and the sandbox closed: what Python imports may be read there.
    """

    def __init__(self, package: str, classes: Mapping[str, str]) -> None:
        self._package = package
        self._classes = classes

    def __getitem__(self, name: str) -> type[Model]:
        """The class of a type; known names alone are asked for by `in`, which imports nothing.

        Raises:
            KeyError: there is no such type.
            ImportError: what is installed now does not go with what runs: another version.
        """
        name_of_class, module = self._classes[name], f"{self._package}.{name}"
        if module not in sys.modules and _installation() != _STARTED:
            raise ImportError("another version was installed since it started")
        model: type[Model] = load(module, name_of_class)
        return model

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def load(module: str, name: str | None = None) -> Any:  # noqa: ANN401 - whatever it is
    """A module, or what has this name in it.

    Raises:
        ImportError: it cannot be loaded, perhaps now only: a file that is half written, as in the
            middle of an upgrade, can raise anything.
    """
    try:
        loaded = import_module(module)
        return getattr(loaded, name) if name else loaded
    except Exception as fault:
        sys.modules.pop(module, None)
        raise ImportError(f"{module} cannot be loaded: {fault}") from fault
