import os
from pathlib import Path

import pytest

from relay.system.make import make_directory, make_private_directory


def test_a_missing_directory_is_made_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    make_directory(str(tmp_path / "state"), 0o700)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    make_directory(str(tmp_path / "state"), 0o755)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_what_it_is_in_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_directory(str(tmp_path / "var" / "lib"))
    assert not (tmp_path / "var").exists()


def test_a_private_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    make_private_directory(str(tmp_path / "admin"))
    assert (tmp_path / "admin").stat().st_mode & 0o777 == 0o700
    make_private_directory(str(tmp_path / "admin"))


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o720])
def test_one_that_is_open_to_others_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    (tmp_path / "admin").mkdir()
    (tmp_path / "admin").chmod(mode)
    with pytest.raises(PermissionError, match=rf"open to others \(mode {mode:04o}\)"):
        make_private_directory(str(tmp_path / "admin"))
    assert (tmp_path / "admin").stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_one_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "admin").mkdir(0o700)
    os.chown(tmp_path / "admin", 65534, -1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        make_private_directory(str(tmp_path / "admin"))
