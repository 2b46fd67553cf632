"""Where spools are, and which directories are some."""

import re
from pathlib import Path

import pytest

from relay.config.tables import NAME_MAX, NAME_PATTERN
from relay.system.spools import _NAME, move_spool, spool_names, spool_path


def test_spools_are_directories_with_the_name_of_a_pipe(tmp_path: Path) -> None:
    assert spool_names(str(tmp_path)) == []
    for name in ("siem", "..", ".a", "a" * NAME_MAX):
        Path(spool_path(str(tmp_path), name)).mkdir(parents=True)
    spool = tmp_path / "spool"
    for name in ("lost+found", ".hidden", "a" * (NAME_MAX + 1), "a b", "\udcff"):
        (spool / name).mkdir()
    (spool / "file").touch()
    (spool / "link").symlink_to(tmp_path)
    assert spool_names(str(tmp_path)) == ["..", ".a", "a" * NAME_MAX, "siem"]
    assert {it.parent for it in spool.iterdir()} == {spool}, "none has led out of it"


def test_a_directory_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    with pytest.raises(NotADirectoryError):
        spool_names(str(tmp_path))


@pytest.mark.parametrize("name", ["a", "a.b-c_d", ".", "..", ".x", "-", "a" * NAME_MAX])
def test_every_pipe_may_have_a_spool(name: str) -> None:
    assert re.fullmatch(NAME_PATTERN, name)
    assert _NAME.fullmatch(Path(spool_path("any", name)).name)


def test_a_spool_is_moved_to_a_name_that_is_free_or_empty(tmp_path: Path) -> None:
    for name in ("old", "other", "full", "full/x"):
        (tmp_path / "spool" / name).mkdir(parents=True)
    (tmp_path / "spool" / "old" / "cursor").write_bytes(b"here")
    move_spool(str(tmp_path), "old", "new")
    move_spool(str(tmp_path), "new", "other")
    assert (tmp_path / "spool" / "other" / "cursor").read_bytes() == b"here"
    with pytest.raises(OSError, match="not empty"):
        move_spool(str(tmp_path), "other", "full")
    assert spool_names(str(tmp_path)) == ["full", "other"]
