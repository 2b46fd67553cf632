"""Every scenario starts its relays through `relay`, which ends what is still running."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.scenarios.harness.process import RelayProcess


class Prepare(Protocol):
    def __call__(
        self,
        config: str,
        values: Mapping[str, object] | None = None,
        *,
        launcher: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        directory: Path | None = None,
    ) -> RelayProcess: ...


@pytest.fixture
def prepare(tmp_path: Path) -> Iterator[Prepare]:
    """Makes a relay that is not started yet."""
    with ExitStack() as stack:

        def prepare(
            config: str,
            values: Mapping[str, object] | None = None,
            *,
            launcher: Sequence[str] = (),
            environ: Mapping[str, str] | None = None,
            descriptors: Sequence[int] = (),
            directory: Path | None = None,
        ) -> RelayProcess:
            relay = RelayProcess(
                directory or tmp_path,
                config,
                values,
                launcher=launcher,
                environ=environ,
                descriptors=descriptors,
            )
            stack.callback(relay.close)
            return relay

        yield prepare
