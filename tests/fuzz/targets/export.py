import io
import json

from relay.cli import verify
from relay.cli.failure import Mistake
from relay.cli.spool import exported
from relay.cli.spool.output import objects
from relay.core.batch import Batch
from relay.spool.store import Stored
from relay.wire.framing import Framer, FramingCounts
from tests.fuzz.target import Octets, pieces
from tests.fuzz.targets.framing import FRAMINGS

WORDS = (
    b'{"received": "2026-11-23T07:28:45Z", "listener": "n", "sender": "s", "message": "m"}\n',
    b'"message_base64": "', b"{", b"}", b"null", b"[", b"\\ud800", b"1e999", b'"received": ',
    b'<13>1 - h a p m [relay@32473 hop="edge/siem/5f3ac0de9b1f2a44/1"] x\n', b'/2"]', b"9" * 20,
)  # fmt: skip


def run(data: bytes) -> None:
    """Any file is an export or a `Mistake`, and what is exported is imported as it was.

    Any file that `relay verify` reads is judged, however much of it comes at once, in printable
    lines.
    """
    octets = Octets(data)
    kind = octets.number()
    content = octets.rest()
    check_import(content)
    check_export(content.split(b"\x01"))
    check_verify(content, kind)


def check_import(content: bytes) -> None:
    file = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
    named = _Named(file)
    try:
        count = exported.count(named)  # type: ignore[arg-type]
        batches = list(exported.batches(named))  # type: ignore[arg-type]
    except Mistake as mistake:
        assert "\n" not in str(mistake)
        return
    assert count == sum(map(len, batches))
    again = "".join(objects(Stored(1, batch)).decode() for batch in batches)
    assert messages_of(again) == [message for batch in batches for message in batch.messages]


class _Named:
    """A file as it is when it was opened by its path."""

    name = "export.json"

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self.seek = file.seek

    def __iter__(self) -> io.TextIOWrapper:
        return self._file


def messages_of(text: str) -> list[bytes]:
    named = _Named(io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    found = exported.batches(named)  # type: ignore[arg-type]
    return [message for batch in found for message in batch.messages]


def check_export(messages: list[bytes]) -> None:
    messages = [message for message in messages if message] or [b"x"]
    text = objects(Stored(1, Batch.of(messages, ["local"] * len(messages), "net", 7))).decode()
    assert len(text.splitlines()) == len(messages)
    assert messages_of(text) == messages


def check_verify(content: bytes, kind: int) -> None:
    found = []
    for sizes in (b"", bytes([kind])):
        counts = FramingCounts()
        framer = Framer(FRAMINGS[kind % 4], 1 << 16, 1 << 16, counts)
        epochs: dict[tuple[bytes, bytes], verify._Epoch] = {}
        stamped = 0
        for piece in pieces(content, sizes):
            stamped += verify._note(framer.feed(piece), epochs)
        stamped += verify._note(framer.close(), epochs)
        verify._judge(epochs.values())
        found.append([*verify._lines(epochs.values(), 0, counts.incomplete)])
        json.loads(verify._json(epochs.values(), stamped, 0, counts.incomplete))
        assert stamped == sum(end - first for it in epochs.values() for first, end in it.runs)
    assert found[0] == found[1]
    for line in "\n".join(found[0]).split("\n"):
        assert line.isprintable(), line
