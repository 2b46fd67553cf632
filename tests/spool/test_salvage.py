"""What a disk still gives is read; what it does not give is zeros only while the disk works."""

import errno

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.spool.salvage import BLOCK_OCTETS, FAILURES_MAX, Salvaging, is_unreadable
from tests.spool.parts import FakeDirectory

BLOCKS = 32


class BadBlocks(FakeDirectory):
    """A disk with one file, of which some blocks cannot be read."""

    def __init__(self, blocks: set[int], size: int) -> None:
        super().__init__(files={"a": bytearray(b"x" * size)})
        self.blocks = blocks
        self.reads = 0
        self.open_fails = False

    def open_file(self, name: str) -> "BadFile":  # type: ignore[override]
        if self.open_fails:
            raise OSError(errno.EIO, "Input/output error")
        return BadFile(self)


class BadFile:
    def __init__(self, directory: BadBlocks) -> None:
        self.directory = directory

    def read(self, octets: int, offset: int) -> bytes:
        self.directory.reads += 1
        content = self.directory.files["a"]
        end = min(offset + octets, len(content))
        if offset >= end:
            return b""
        for at in range(offset // BLOCK_OCTETS, -(-end // BLOCK_OCTETS)):
            if at in self.directory.blocks:
                raise OSError(errno.EIO, "Input/output error")
        return bytes(content[offset:end])

    def write(self, data: bytes | bytearray, offset: int) -> None:
        self.directory.files["a"][offset : offset + len(data)] = data

    def truncate(self, size: int) -> None: ...
    def allocate(self, size: int) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


def zeros(content: bytes, offset: int) -> set[int]:
    """The blocks of which some octet is a zero."""
    return {(offset + at) // BLOCK_OCTETS for at, octet in enumerate(content) if not octet}


@settings(max_examples=100)
@given(
    st.sets(st.integers(0, BLOCKS - 1), max_size=8),
    st.integers(0, BLOCKS * BLOCK_OCTETS),
    st.integers(0, BLOCKS * BLOCK_OCTETS),
    st.integers(1, BLOCKS * BLOCK_OCTETS),
)
@example({0}, 1, BLOCK_OCTETS, BLOCK_OCTETS + 1)
def test_nothing_but_the_bad_blocks_is_missing(
    blocks: set[int], offset: int, octets: int, size: int
) -> None:
    directory = Salvaging(BadBlocks(blocks, size))
    file = directory.open_file("a")
    for _ in range(2):
        found = file.read(octets, offset)
        there = max(0, min(octets, size - offset))
        assert len(found) >= there
        assert not any(found[there:])
        last = -(-min(offset + octets, size) // BLOCK_OCTETS)
        hit = {it for it in blocks if offset // BLOCK_OCTETS <= it < last} if there else set()
        assert hit == zeros(found[:there], offset)


def test_a_bad_place_is_asked_once_and_never_written_to() -> None:
    disk = BadBlocks({3, 4}, BLOCKS * BLOCK_OCTETS)
    directory = Salvaging(disk)
    directory.open_file("a").read(BLOCKS * BLOCK_OCTETS, 0)
    disk.reads = 0
    disk.blocks = set()
    file = directory.open_file("a")
    content = file.read(BLOCKS * BLOCK_OCTETS, 0)
    assert zeros(content, 0) == {3, 4}
    assert disk.reads == 2
    file.write(b"y" * len(content), 0)
    assert {*disk.files["a"][3 * BLOCK_OCTETS : 5 * BLOCK_OCTETS]} == {ord("x")}
    assert disk.files["a"].count(b"y") == len(content) - 2 * BLOCK_OCTETS


def test_a_disk_on_which_hardly_anything_can_be_read_does_not_take_for_ever() -> None:
    size = 1 << 24
    disk = BadBlocks({*range(size // BLOCK_OCTETS)}, size)
    assert not any(Salvaging(disk).open_file("a").read(size, 0))
    assert disk.reads < 3 * FAILURES_MAX


def test_a_file_that_cannot_be_opened_is_all_bad() -> None:
    disk = BadBlocks(set(), 100)
    disk.open_fails = True
    file = Salvaging(disk).open_file("a")
    assert file.read(100, 0) == bytes(100)
    file.write(b"y", 0)
    file.truncate(0)
    file.sync()
    file.close()
    assert disk.files["a"] == b"x" * 100


def test_while_the_disk_fails_as_a_whole_nothing_is_believed() -> None:
    disk = BadBlocks({0}, 2 * BLOCK_OCTETS)

    def fault(kind: str, name: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    disk.fault = fault
    directory = Salvaging(disk)
    with pytest.raises(OSError, match="Input/output"):
        directory.open_file("a").read(2 * BLOCK_OCTETS, 0)
    assert directory.bad == {}


def test_only_the_medium_is_salvaged_from() -> None:
    assert is_unreadable(OSError(errno.EIO, ""))
    for error in (errno.EACCES, errno.ENOENT, errno.ENOSPC, errno.EMFILE):
        assert not is_unreadable(OSError(error, ""))
    with pytest.raises(FileNotFoundError):
        Salvaging(FakeDirectory()).open_file("a")
