"""Which pipes have a spool, and where."""

from pathlib import Path

import pytest

from relay.system.spool_paths import spool_names, spool_path


def test_without_a_state_directory_there_are_none(tmp_path: Path) -> None:
    assert spool_names(str(tmp_path / "nowhere")) == ()


@pytest.mark.parametrize("name", ["siem", "..", ".", ".hidden", "a.dead-letter", "_-"])
def test_every_name_has_a_directory_below_the_others(name: str, tmp_path: Path) -> None:
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
