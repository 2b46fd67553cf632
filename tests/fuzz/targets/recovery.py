import struct
import zlib
from itertools import pairwise

from relay.core.batch import Batch
from relay.spool import cursor, segment
from relay.spool.cursor import Cursor
from relay.spool.recovery import Known, segment_name
from relay.spool.store import Damaged, Store, Stored
from tests.fuzz.target import Octets
from tests.spool.parts import FakeDirectory

STORES = (b"\1" * 16, b"\2" * 16)
READS_MAX = 2000
WORDS = (segment._sync(STORES[0]), b"relayseg", b"\xff" * 8, bytes(9), b"\x01\x02\x01", b"\x04\x05")


def run(data: bytes) -> None:
    """Whatever lies in a spool's directory, it opens, reads to its end, and goes on.

    Nothing but what was written there is read, no number twice, and what was opened once is found
    the same the second time. Damage is told and never loops.
    """
    octets = Octets(data)
    directory = FakeDirectory(files=files(octets))
    if contradict(directory.files):
        return
    written = {bytes(content) for content in directory.files.values()}
    known = Known(octets.number(2) * octets.number(), octets.number())
    store = Store.open(directory, octets_max=1 << 20, known=known)
    found = read(store, written)
    check_bounds(store)
    numbers = store.settled, store.next
    store.close()
    directory.locked = False
    again = Store.open(directory, octets_max=1 << 20, known=known)
    assert (again.settled, again.next) == numbers
    assert read(again, written) == found
    first = again.next
    again.append([(first, Batch.of([b"new"], ["local"], "net", 7))])
    again.commit()
    assert read(again, written | {b"new"})[-1] == (first, first + 1, True)
    again.settle(again.next)
    again.save_cursor(sync=True)
    assert read(again, set()) == []
    again.close()


def contradict(found: dict[str, bytearray]) -> bool:
    """Whether whole frames reach into the numbers of the next segment, which no accident makes."""
    names = sorted(name for name in found if name.endswith(".seg"))
    for name, following in zip(names, [*names[1:], segment_name(10**20 - 1)], strict=False):
        content = bytes(found[name])
        for store in STORES:
            at = 0
            last = int(name[:20])
            while whole := segment.next_frame(content, at, store):
                if whole.first < last or whole.next > int(following[:20]):
                    return True
                at, last = whole.end, whole.next
    return False


def check_bounds(store: Store) -> None:
    assert store.settled <= store.committed <= store.next
    segments = store.segments()
    for (_, end, _), (first, _, _) in pairwise(segments):
        assert end <= first


def read(store: Store, written: set[bytes]) -> list[tuple[int, int, bool]]:
    """All that is held: numbers, and whether they could be read."""
    found: list[tuple[int, int, bool]] = []
    at = store.settled
    for _ in range(READS_MAX):
        items = store.read(at, 1 << 16)
        if not items:
            return found
        for item in items:
            assert item.end > item.first >= at
            at = item.end
            found.append((item.first, item.end, isinstance(item, Stored)))
            if isinstance(item, Damaged):
                continue
            for message in item.batch.messages:
                assert any(message in content for content in written), "nothing is invented"
        assert at <= store.next
    raise AssertionError("reading does not end")


def files(octets: Octets) -> dict[str, bytearray]:
    """Up to eight files, each of parts that are whole, damaged or anything."""
    found: dict[str, bytearray] = {}
    for _ in range(1 + octets.number() % 8):
        if not octets.left:
            break
        name = file_name(octets)
        content = bytearray()
        for _ in range(octets.number() % 8):
            content += part(octets)
        found[name] = content
    return found


def file_name(octets: Octets) -> str:
    kind = octets.number()
    if kind < 128:
        return segment_name(kind)
    return (cursor.NAME, cursor.NAME, "lock", "probe", "other", segment_name(10**20 - 1))[kind % 6]


def part(octets: Octets) -> bytes:
    store = STORES[octets.number() % 8 == 7]
    kind = octets.number() % 8
    if kind == 0:
        return segment.header(store, octets.number())
    if kind in (1, 2):
        return frame(octets, store)
    if kind == 3:  # of which a write has only made a part
        whole = frame(octets, store)
        return whole[: octets.number() % (len(whole) + 1)]
    if kind == 4:
        return slot(octets, store)
    if kind == 5:
        return bytes(octets.number() * octets.number() % 8192)
    return newer(octets, store) if kind == 6 else octets.take(octets.number() % 64)


def newer(octets: Octets, store: bytes) -> bytes:
    """The header of a segment of another version."""
    fields = struct.pack("<8sI16sQ24x", segment.MAGIC, 2, store, octets.number())
    return fields + struct.pack("<I", zlib.crc32(fields))


def frame(octets: Octets, store: bytes) -> bytes:
    first, count = octets.number(), 1 + octets.number() % 4
    messages = [octets.take(octets.number() % 16) for _ in range(count)]
    return bytes(segment.frame(store, first, Batch.of(messages, ["local"] * count, "net", 7)))


def slot(octets: Octets, store: bytes) -> bytes:
    """A whole slot of a cursor, which any numbers may be in."""
    holes = []
    at = octets.number()
    for _ in range(octets.number() % 4):
        end = at + 1 + octets.number() % 8
        holes.append((at, end))
        at = end + 1
    settled, following = octets.number(), octets.number(2)
    generation = octets.number()
    packed = cursor.pack(Cursor(store, generation, settled, following, holes))[1]
    return packed if octets.number() % 4 else packed.ljust(4096, b"\0")
