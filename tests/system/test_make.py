from pathlib import Path

import pytest

from relay.system.make import make_directory


def test_a_missing_directory_is_made_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    make_directory(str(tmp_path / "state"), 0o700)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    make_directory(str(tmp_path / "state"), 0o755)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_what_it_is_in_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_directory(str(tmp_path / "var" / "lib"))
    assert not (tmp_path / "var").exists()
