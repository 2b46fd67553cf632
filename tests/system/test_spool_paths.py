"""Which pipes have a spool, and where."""

import re
from pathlib import Path

import pytest

from relay.config.tables import NAME_MAX, NAME_PATTERN
from relay.system.spool_paths import spool_names, spool_path


def test_without_a_state_directory_there_are_none(tmp_path: Path) -> None:
    assert spool_names(str(tmp_path / "nowhere")) == ()


@pytest.mark.parametrize(
    "name", ["siem", "..", ".", ".hidden", "a.dead-letter", "_-", "a" * NAME_MAX]
)
def test_every_name_has_a_directory_below_the_others(name: str, tmp_path: Path) -> None:
    assert re.fullmatch(NAME_PATTERN, name)
    path = Path(spool_path(str(tmp_path), name))
    assert path.parent == tmp_path / "spool"
    path.mkdir(parents=True)
    assert path.resolve() == path
    assert spool_names(str(tmp_path)) == [name]


def test_files_and_links_are_no_spools(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "file").write_bytes(b"")
    (tmp_path / "spool" / "link").symlink_to(tmp_path)
    assert spool_names(str(tmp_path)) == []


def test_what_no_pipe_can_be_called_is_no_spool(tmp_path: Path) -> None:
    """Such as what a file system has at its root, when the spools have one of their own."""
    for name in ("lost+found", ".hidden", "a b", "\udcff", "a" * (NAME_MAX + 1)):
        (tmp_path / "spool" / name).mkdir(parents=True)
    assert spool_names(str(tmp_path)) == []
