"""A real directory, and what somebody else may have put into it."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from tests.spool.parts import put, read_all


def make_file(path: Path) -> None:
    path.write_bytes(b"somebody's")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a path of a socket has 107 octets at most
    try:
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(path.name)
    finally:
        os.chdir(here)


Make = Callable[[Path], None]

OTHERS = [make_pipe, make_directory, make_link, make_loop, make_socket]
ALL = [make_file, *OTHERS]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SystemDirectory]:
    found = SystemDirectory(str(tmp_path / "siem"))
    found.open()
    yield found
    found.close()


@pytest.mark.parametrize("make", OTHERS)
def test_what_is_no_regular_file_is_not_there_to_be_opened(
    directory: SystemDirectory, tmp_path: Path, make: Make
) -> None:
    make(tmp_path / "siem" / "it")
    with pytest.raises(FileNotFoundError):
        directory.open_file("it")
    assert directory.others() == ["it"]
    assert "it" not in directory.sizes()
    with pytest.raises(FileExistsError):
        directory.create("it")


@pytest.mark.parametrize("make", ALL)
def test_anything_can_be_set_aside_and_replaces_nothing_there(
    directory: SystemDirectory, tmp_path: Path, make: Make
) -> None:
    for expected in ("it", "it.1", "it.2"):
        make(tmp_path / "siem" / "it")
        directory.set_aside("it")
        assert os.path.lexists(tmp_path / "siem" / "quarantine" / expected)
        assert not os.path.lexists(tmp_path / "siem" / "it")
    assert directory.others() == []


@pytest.mark.parametrize("make", ALL)
def test_where_the_quarantine_cannot_be_another_one_is_made(
    directory: SystemDirectory, tmp_path: Path, make: Make
) -> None:
    make(tmp_path / "siem" / "quarantine.1")
    make(tmp_path / "siem" / "quarantine") if make is not make_directory else None
    directory.quarantine("part", b"octets")
    kept = "quarantine" if make is make_directory else "quarantine.2"
    assert (tmp_path / "siem" / kept / "part").read_bytes() == b"octets"


def test_no_pipe_in_the_quarantine_is_waited_for(
    directory: SystemDirectory, tmp_path: Path
) -> None:
    directory.quarantine("other", b"octets")
    os.mkfifo(tmp_path / "siem" / "quarantine" / "part")
    with pytest.raises(OSError, match="No such device"):
        directory.quarantine("part", b"octets")


@pytest.mark.parametrize("make", OTHERS)
def test_a_lock_that_is_no_file_is_set_aside(tmp_path: Path, make: Make) -> None:
    (tmp_path / "siem").mkdir()
    make(tmp_path / "siem" / "lock")
    first, second = (SystemDirectory(str(tmp_path / "siem")) for _ in range(2))
    first.open()
    with pytest.raises(BlockingIOError):
        second.open()
    first.close()
    second.open()
    second.close()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("name", ["cursor", f"{10:020}.seg", f"{5:020}.seg", "probe"])
def test_a_store_works_whatever_somebody_has_put_in_its_way(
    directory: SystemDirectory, tmp_path: Path, name: str, make: Make
) -> None:
    directory.close()
    store = Store.open(directory, octets_max=1 << 20)
    put(store, 10)
    store.commit()
    store.save_cursor(sync=True)
    store.close()
    place = tmp_path / "siem" / name
    place.unlink(missing_ok=True)
    if name != f"{5:020}.seg" or make is not make_file:
        make(place)
    store = Store.open(directory, octets_max=1 << 20)
    put(store, 5)
    store.commit()
    store.save_cursor(sync=True)
    assert read_all(store) == ([*range(15)], [])
    store.give_up(0)
    store.close()
    store = Store.open(directory, octets_max=1 << 20)
    assert read_all(store) == ([*range(15)], [])
    store.close()


def test_a_cursor_that_is_taken_away_and_replaced_while_it_is_open_is_made_anew(
    directory: SystemDirectory, tmp_path: Path
) -> None:
    directory.close()
    store = Store.open(directory, octets_max=1 << 20)
    put(store, 10)
    store.commit()
    (tmp_path / "siem" / "cursor").unlink()
    os.mkfifo(tmp_path / "siem" / "cursor")
    store.settle(4)
    with pytest.raises(FileNotFoundError):
        store.save_cursor(sync=True)
    store.save_cursor(sync=True)
    store.close()
    store = Store.open(directory, octets_max=1 << 20)
    assert read_all(store) == ([*range(4, 10)], [])
    store.close()


def test_a_probe_reads_what_it_wrote_and_leaves_nothing(
    directory: SystemDirectory, tmp_path: Path
) -> None:
    before = sorted(os.listdir(tmp_path / "siem"))
    directory.probe()
    assert sorted(os.listdir(tmp_path / "siem")) == before
