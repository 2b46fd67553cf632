"""Fault matrix: a spool that somebody or something has changed while nobody looked after it."""

import zlib
from functools import partial
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import in_order, numbered, numbers, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected
from tests.scenarios.test_faults_kill import forward
from tests.scenarios.test_faults_spool import end_of_data, segments, spool_of

KEPT = 20_000  # messages
BURST = 500  # of them in one batch

TCP = """
[relay]
drain_max = "1s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.siem]
type = "tcp"
address = "127.0.0.1:@siem@"
framing = "lf"

[pipes.forward]
from = "net"
to = "siem"
spool = "always"
spool_size = "8MiB"
overflow = "block"
"""


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        octet = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([octet ^ 0x10]))


@pytest.fixture
def kept(prepare: Prepare) -> RelayProcess:
    """A relay that has ended, and whose spool has 20,000 messages in several segments."""
    relay = prepare(TCP)
    relay.start()
    with connected(relay.port("net")) as sender:
        for start in range(0, KEPT, BURST):
            sender.sendall(stream(numbered(BURST, start=start), "lf"))
            relay.until(partial(_has_received, start + BURST), "they came")
    assert relay.stop() == 0
    assert len(segments(relay)) >= 4
    return relay


def _has_received(count: int, books: Books) -> bool:
    received: int = forward(books)["received"]
    return received == count


def _delivered(relay: RelayProcess) -> tuple[list[int], Books]:
    """What the receiver gets of a spool, and the book when nothing is left."""
    with StreamReceiver(port=relay.port("siem")) as receiver:
        relay.start()
        relay.until(lambda it: forward(it)["recovered"], "the spool is open")
        books = relay.until(lambda it: not total(forward(it)["held"]), "nothing is left")
        assert relay.stop() == 0
        receiver.wait_ended()
        return numbers(receiver.messages)["a"], forward(books)


@pytest.mark.parametrize("place", ["header", "first frame", "middle", "both cursors", "page"])
def test_row_28_a_flipped_bit(place: str, kept: RelayProcess) -> None:
    """Exactly the damaged batch is lost, and counted; without a cursor everything comes again."""
    segment = segments(kept)[1]
    if place == "header":
        _flip(segment, 5)
    elif place == "first frame":
        _flip(segment, 100)
    elif place == "middle":
        _flip(segment, end_of_data(segment) // 2)
    elif place == "both cursors":
        for slot in (0, 4096):
            _flip(spool_of(kept) / "cursor", slot + 20)
    else:
        _flip(kept.directory / "state" / "crash-page", 128 + 70)
    found, pipe = _delivered(kept)
    damaged = pipe["dropped"]["damaged"]
    assert len(found) + damaged == KEPT
    assert in_order(found)
    assert total(pipe["dropped"]) == damaged
    assert (damaged > 0) == (place in ("first frame", "middle"))
    assert damaged <= BURST


def test_row_29_strangers_and_missing_segments(kept: RelayProcess) -> None:
    """A segment in the middle is deleted; a link and a file of somebody lie in the directory.

    The range that is missing is counted exactly, and what does not belong there is left alone.
    """
    first, second, third = segments(kept)[:3]
    missing = int(third.stem) - int(second.stem)
    second.unlink()
    stranger, link = spool_of(kept) / "notes.txt", spool_of(kept) / f"{int(first.stem) + 7:020}.seg"
    stranger.write_text("mine")
    link.symlink_to("/etc/passwd")
    found, pipe = _delivered(kept)
    assert pipe["dropped"]["damaged"] == missing > 0
    assert len(found) == KEPT - missing
    assert in_order(found)
    assert stranger.read_text() == "mine"
    assert link.is_symlink()
    assert "notes.txt" in kept.log
    assert link.name in kept.log


def test_row_29_a_segment_of_a_newer_version(kept: RelayProcess) -> None:
    """It is left untouched, whatever it holds is counted, and the relay says what it is."""
    second, third = segments(kept)[1:3]
    data = bytearray(second.read_bytes())
    data[8] += 1  # the version follows the magic word of eight octets
    data[60:64] = zlib.crc32(data[:60]).to_bytes(4, "little")
    second.write_bytes(data)
    found, pipe = _delivered(kept)
    missing = int(third.stem) - int(second.stem)
    assert pipe["dropped"]["damaged"] == missing
    assert len(found) == KEPT - missing
    assert second.read_bytes() == data
    assert "version" in kept.log
