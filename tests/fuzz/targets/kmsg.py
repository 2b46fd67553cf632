import re

from relay.wire import journal, kmsg
from relay.wire.message import view, well_formed
from tests.fuzz.target import Octets

NAMES = ("MESSAGE", "PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "_COMM", "_PID",
         "_HOSTNAME", "_TRANSPORT", "_SOURCE_REALTIME_TIMESTAMP", "SYSLOG_PID")  # fmt: skip
WORDS = (
    b"6,339,5140900,-,caller=T1;", b"\n SUBSYSTEM=net", b"4,1,2,c;", b"4,1,2,+;", b"\\x0a", b"\\x",
    b"30,1,2,-;su[1]: ", b"kernel", b"1795418925000000", b"s=" + b"0" * 32 + b";i=1f;",
)  # fmt: skip


def run(data: bytes) -> None:
    """Any record of the kernel and any entry of the journal is a message, or is none.

    What becomes one is RFC 5424 to the letter and keeps its text.
    """
    octets = Octets(data)
    if octets.number() % 2:
        check_kmsg(octets.rest().split(b"\x01"))
    else:
        check_journal(octets.rest().split(b"\x01"))


def check_kmsg(reads: list[bytes]) -> None:
    records = [record for record in map(kmsg.parse, reads) if record is not None]
    joined = kmsg.join(records)
    assert len(joined) <= len(records)
    assert b"".join(it.text for it in joined) == b"".join(it.text for it in records)
    for record in joined:
        message = kmsg.message(record, 7, b"h")
        assert well_formed(message)
        header = view(message)
        assert header.priority == record.priority
        for word in re.findall(rb"[A-Za-z0-9]+", record.text):
            assert word in message


def check_journal(values: list[bytes]) -> None:
    fields = dict(zip(NAMES, values, strict=False))
    message = journal.message(fields, 7, b"h")
    assert well_formed(message)
    text = fields.get("MESSAGE", b"").removeprefix(b"\xef\xbb\xbf")
    assert message.endswith(text)
    earlier, later = (value.decode("latin-1") for value in (values * 2)[:2])
    missing = journal.missing(earlier, later)
    assert missing is None or missing >= 0
