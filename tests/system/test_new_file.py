"""A file that appears whole, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from relay.system.new_file import new_file


def write(path: Path, content: bytes, *, replace: bool = False) -> None:
    with new_file(str(path), replace=replace) as file:
        file.write(content)


def names(path: Path) -> list[str]:
    return sorted(it.name for it in path.iterdir())


def test_it_appears_at_the_end_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(str(path)) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert names(tmp_path) == ["file"]


def test_a_name_without_a_directory_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("file"), b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_after_an_exception_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_file(str(tmp_path / "file")):
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "directory", "link", "broken link"])
def test_what_is_there_is_left_alone(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"other")
    if kind == "file":
        path.write_bytes(b"before")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(other if kind == "link" else tmp_path / "none")
    with pytest.raises(FileExistsError):
        write(path, b"content")
    assert names(tmp_path) == ["file", "other"]
    if kind == "directory":
        with pytest.raises(IsADirectoryError):
            write(path, b"content", replace=True)
    else:
        write(path, b"content", replace=True)
        assert path.read_bytes() == b"content"
        assert not path.is_symlink()
    assert names(tmp_path) == ["file", "other"]
    assert other.read_bytes() == b"other"


def test_what_comes_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(FileExistsError), new_file(str(path)):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["file"]


def test_a_file_system_without_links_has_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", link)
    write(tmp_path / "file", b"content")
    assert names(tmp_path) == ["file"]
    with pytest.raises(FileExistsError), new_file(str(tmp_path / "other")):
        (tmp_path / "other").touch()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "file", b"content")
