"""A spool's directory for who only looks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.system.directory_view import DirectoryView


@pytest.fixture
def view(tmp_path: Path) -> Iterator[DirectoryView]:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "quarantine").mkdir()
    os.mkfifo(tmp_path / "fifo")
    view = DirectoryView(str(tmp_path))
    view.open()
    yield view
    view.close()


def test_files_are_read(view: DirectoryView) -> None:
    assert view.sizes() == {"file": 7}
    assert sorted(view.others()) == ["fifo", "link"]
    file = view.open_file("file")
    assert file.read(100, 3) == b"tent"
    file.close()


def test_no_change_is_made(view: DirectoryView, tmp_path: Path) -> None:
    before = sorted(it.name for it in tmp_path.iterdir())
    for change in (view.create, view.unlink):
        with pytest.raises(OSError, match="only being looked at"):
            change("file")
    with pytest.raises(OSError, match="only being looked at"):
        view.sync()
    file = view.open_file("file")
    with pytest.raises(OSError, match="descriptor"):
        file.write(b"x", 0)
    file.close()
    view.quarantine("file.64", b"damaged")
    assert view.damaged == {"file.64": 7}
    assert sorted(it.name for it in tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_bytes() == b"content"


def test_no_link_is_followed_and_nothing_blocks(view: DirectoryView, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        view.open_file("link")
    with pytest.raises(OSError, match="not a regular file"):
        view.open_file("fifo")
    (tmp_path / "to-here").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        DirectoryView(str(tmp_path / "to-here")).open()


def test_what_vanishes_while_it_is_listed_is_left_out(view: DirectoryView, tmp_path: Path) -> None:
    code = "import os\nwhile True: os.close(os.open('brief', os.O_CREAT)); os.unlink('brief')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as churn:
        try:
            seen: list[bool] = []
            while seen.count(True) < 500 or seen.count(False) < 500:
                sizes = view.sizes()
                assert sizes["file"] == 7
                seen.append("brief" in sizes)
        finally:
            churn.kill()
