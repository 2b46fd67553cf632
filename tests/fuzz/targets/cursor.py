import logging
import struct
import zlib

from relay.core.account import PipeAccount
from relay.spool import cursor, page
from relay.spool.cursor import HOLES_MAX, SLOTS
from relay.spool.page import RECORD_OCTETS, CrashPage
from tests.fuzz.target import Octets

WORDS = (b"relaypag", page.MAGIC + b"\2\0\0\0boot", b"\xff" * 8, bytes(16), cursor.MAGIC)
HELD_MAX = 1 << 61  # what is added to more is not believed, and no process holds or owes so much
log = logging.getLogger("relay.spool")


class Page:
    """A page file in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)

    def read(self) -> bytes:
        return bytes(self.content)

    def write(self, offset: int, data: bytes) -> None:
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(data)] = data


def run(data: bytes) -> None:
    """Quietly: the log tells of every damaged page."""
    was, log.disabled = log.disabled, True
    try:
        check(data)
    finally:
        log.disabled = was


def check(data: bytes) -> None:
    """Any octets are a cursor or none, a crash page or none, also when their CRCs are right.

    A cursor that is read is written as it was. What a page says of one pipe survives another
    process, and never costs the record of another.
    """
    octets = Octets(data)
    kind = octets.number()
    content = octets.rest()
    if kind % 2:
        check_cursor(content, whole=bool(kind & 2))
    else:
        check_page(content, whole=bool(kind & 2))


def check_cursor(content: bytes, *, whole: bool) -> None:
    if whole:
        half = len(content) // 2
        slots = [_with_crc(part, SLOTS[1] - SLOTS[0]) for part in (content[:half], content[half:])]
        content = b"".join(slots)
    found = cursor.newest(content)
    if found is None:
        return
    assert len(found.holes) <= HOLES_MAX
    place, slot = cursor.pack(found)
    assert cursor.newest(bytes(place) + slot) == found._replace(holes=list(found.holes))


def _with_crc(data: bytes, octets: int) -> bytes:
    packed = data[: octets - 4].ljust(octets - 4, b"\0")
    return packed + struct.pack("<I", zlib.crc32(packed))


def check_page(content: bytes, *, whole: bool) -> None:
    if whole:
        rows = [content[at : at + 120] for at in range(0, len(content), 120)]
        content = b"".join(_with_crc(row, RECORD_OCTETS) for row in rows)
    file = Page(content)
    found = CrashPage(file, "boot")
    if max((max(it.held, it.owed) for it in found.before.values()), default=0) > HELD_MAX:
        return
    for name in list(found.before):
        found.known(name)
    slot = found.slot("siem")
    before = dict(found.believed())
    account = PipeAccount("siem")
    account.received = 5
    slot.write(account, next_number=9, head=4, owed=1, at_risk=1)
    found.begin(b"epochNo1")
    after = CrashPage(Page(file.read()), "boot")
    assert after.same_boot
    for name, record in before.items():
        if name != "siem" and len(name.encode()) <= 64:
            assert after.before[name] == record
    assert after.before["siem"].next == 9
    assert after.before["siem"].held == 5 + (before["siem"].held if "siem" in before else 0)
    for name, record in after.believed().items():
        lost = after.take_lost(name, 1, record.store)
        assert 0 <= lost <= record.held
        assert after.take_lost(name, 1, record.store) == 0
