"""Who only looks at a directory changes nothing in it, and sees what a start would make of it."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from relay.system.snapshot import SnapshotDirectory
from tests.spool.parts import put, read_all


@pytest.fixture
def snapshot(tmp_path: Path) -> SnapshotDirectory:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "quarantine").mkdir()
    found = SnapshotDirectory(str(tmp_path))
    found.open()
    return found


def test_there_are_the_files_and_what_is_none(snapshot: SnapshotDirectory) -> None:
    assert snapshot.sizes() == {"file": 10}
    assert snapshot.others() == ["link"]
    with pytest.raises(OSError, match="symbolic"):
        snapshot.open_file("link")
    snapshot.close()


def test_changes_are_seen_here_and_nowhere_else(
    snapshot: SnapshotDirectory, tmp_path: Path
) -> None:
    file = snapshot.open_file("file")
    file.write(b"AB", 2)
    file.truncate(8)
    file.sync()
    file.close()
    new = snapshot.create("new")
    new.write(b"x", 3)
    snapshot.sync()
    snapshot.quarantine("damaged", b"x")
    assert snapshot.open_file("file").read(100, 0) == b"01AB4567"
    assert snapshot.open_file("new").read(100, 0) == b"\0\0\0x"
    assert snapshot.sizes() == {"file": 8, "new": 4}
    snapshot.unlink("file")
    snapshot.unlink("new")
    assert snapshot.sizes() == {}
    snapshot.close()
    assert (tmp_path / "file").read_bytes() == b"0123456789"
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "quarantine"]
    assert not os.listdir(tmp_path / "quarantine")


def test_what_is_written_later_is_not_seen(snapshot: SnapshotDirectory, tmp_path: Path) -> None:
    with (tmp_path / "file").open("ab") as file:
        file.write(b"more")
    (tmp_path / "later").write_bytes(b"x")
    assert snapshot.open_file("file").read(100, 0) == b"0123456789"
    assert snapshot.sizes() == {"file": 10}
    snapshot.close()


def test_what_has_gone_is_missing_as_it_would_be_on_disk(
    snapshot: SnapshotDirectory, tmp_path: Path
) -> None:
    (tmp_path / "file").unlink()
    with pytest.raises(FileNotFoundError):
        snapshot.open_file("file")
    snapshot.close()


def test_no_directory_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SnapshotDirectory(str(tmp_path / "nowhere")).open()
    assert not os.listdir(tmp_path)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.binary(max_size=8)), max_size=12))
def test_any_changes_read_as_they_would_on_disk(changes: list[tuple[bool, int, bytes]]) -> None:
    with TemporaryDirectory() as directory:
        Path(directory, "file").write_bytes(b"0123456789")
        _check_changes(directory, changes)


def _check_changes(directory: str, changes: list[tuple[bool, int, bytes]]) -> None:
    snapshot = SnapshotDirectory(directory)
    snapshot.open()
    expected = bytearray(b"0123456789")
    file = snapshot.open_file("file")
    for truncates, place, data in changes:
        if truncates:
            file.truncate(min(place, len(expected)))
            del expected[place:]
        elif data:
            file.write(data, place)
            expected.extend(bytes(max(0, place - len(expected))))
            expected[place : place + len(data)] = data
    assert file.read(100, 0) == expected
    assert snapshot.sizes() == {"file": len(expected)}
    file.close()
    snapshot.close()


def test_names_and_cursor_are_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay writes, delivers and removes between the two: that is not to look like damage."""
    store = Store.open(SystemDirectory(str(tmp_path)), octets_max=1 << 20)
    store._segment_octets = 600
    put(store, *[5] * 4)
    store.commit()
    store.save_cursor(sync=True)
    shipped = SnapshotDirectory._list

    def slow(snapshot: SnapshotDirectory) -> None:
        shipped(snapshot)
        if store.next < 200:
            put(store, *[5] * 4)
            store.commit()
            store.settle(store.next - 30)
            store.save_cursor(sync=True)

    monkeypatch.setattr(SnapshotDirectory, "_list", slow)
    seen = Store.open(SnapshotDirectory(str(tmp_path)), octets_max=1 << 20)
    assert read_all(seen) == ([*range(170, 200)], [])
    seen.close()
    store.close()


def test_what_vanishes_while_it_is_listed_is_left_out(
    snapshot: SnapshotDirectory, tmp_path: Path
) -> None:
    code = "import os\nwhile True: os.close(os.open('brief', os.O_CREAT)); os.unlink('brief')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as churn:
        try:
            seen: list[bool] = []
            while seen.count(True) < 500 or seen.count(False) < 500:
                snapshot._list()
                seen.append("brief" in snapshot.sizes())
        finally:
            churn.kill()
