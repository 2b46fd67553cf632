"""State directories with spools, made as a relay makes them."""

from collections.abc import Sequence
from pathlib import Path

from relay.core.batch import Batch
from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from relay.system.spool_paths import spool_path

SECOND = 10**9
BEGAN_NS = 1_795_000_000 * SECOND


def batch(first: int, end: int) -> Batch:
    """Messages whose text is their number, received so many seconds after the beginning."""
    messages = [b"<13>%d" % number for number in range(first, end)]
    senders = ["192.0.2.1"] * len(messages)
    return Batch.of(messages, senders, "net", BEGAN_NS + first * SECOND)


def fill(state_dir: Path, pipe: str, *ends: int, settled: int = 0) -> Path:
    """A spool with a batch up to each of these numbers; returns its directory."""
    path = spool_path(str(state_dir), pipe)
    store = Store.open(SystemDirectory(path), octets_max=1 << 20)
    first = 0
    for end in ends:
        store.append([(first, batch(first, end))])
        first = end
    store.commit()
    store.settle(settled)
    store.save_cursor(sync=False)
    store.close()
    return Path(path)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def numbers(output: str) -> Sequence[int]:
    """The numbers of the lines that `cat` has printed."""
    return [int(line.removeprefix("<13>")) for line in output.splitlines()]
