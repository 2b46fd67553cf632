"""Spools in a real directory, as the relay leaves them there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relay.spool.inspection import Inspection, Item, Left
from relay.spool.reader import Damaged, Stored
from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from relay.system.directory_view import DirectoryView
from tests.core.parts import number
from tests.spool.parts import put

SEGMENT_OCTETS = 600


def open_store(path: Path) -> Store:
    """A store of small segments, locked."""
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    store._segment_octets = SEGMENT_OCTETS
    return store


def fill(path: Path, *sizes: int, settled: int = 0) -> None:
    """A spool with batches of so many messages, whose process has ended."""
    store = open_store(path)
    put(store, *sizes)
    store.commit()
    store.settle(settled)
    store.save_cursor(sync=True)
    store.close()


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.seg"))


def spoil(file: Path, place: int) -> None:
    """Flip an octet."""
    content = bytearray(file.read_bytes())
    content[place] ^= 0x55
    file.write_bytes(content)


def content(path: Path) -> Mapping[str, bytes]:
    """All files below, which nobody who looks may change."""
    return {str(it.relative_to(path)): it.read_bytes() for it in path.rglob("*") if it.is_file()}


@contextmanager
def inspected(path: Path, *, settled_min: int = 0) -> Iterator[Inspection]:
    directory = DirectoryView(str(path))
    directory.open()
    inspection = Inspection(directory, settled_min=settled_min)
    try:
        yield inspection
    finally:
        inspection.close()


def sort(items: Iterator[Item]) -> tuple[list[int], list[int], list[int]]:
    """The numbers that were read, those that are damaged, and those that have left meanwhile."""
    found: list[int] = []
    damaged: list[int] = []
    left: list[int] = []
    for item in items:
        if isinstance(item, Stored):
            texts = [number(message) for message in item.batch.messages]
            assert texts == [*range(item.first, item.end)]
            found += texts
        else:
            numbers = left if isinstance(item, Left) else damaged
            assert isinstance(item, Left | Damaged)
            numbers += range(item.first, item.end)
    return found, damaged, left
