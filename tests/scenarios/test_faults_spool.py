"""Fault matrix: the disk under a spool fails, fills up, goes away, or has been tampered with."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.injection import Launcher, cannot_inject
from tests.scenarios.harness.messages import numbered
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.relp import RelpReceiver, RelpSender
from tests.scenarios.harness.waiting import until
from tests.scenarios.test_faults_kill import RELP, finish, forward

FAILS = "spool of pipe forward fails"


@contextmanager
def sending(sender: RelpSender, messages: list[bytes]) -> Iterator[None]:
    """While inside, it sends; leaving waits until all are answered."""
    thread = threading.Thread(target=sender.send, args=(messages,))
    thread.start()
    yield
    thread.join()
    assert len(sender.answered) >= len(messages)


def spool_of(relay: RelayProcess) -> Path:
    return relay.directory / "state" / "spool" / "forward"


@pytest.mark.skipif(bool(cannot_inject()), reason=cannot_inject())
def test_row_25_a_sync_that_fails_once(prepare: Prepare, tmp_path: Path) -> None:
    """The second fdatasync says EIO. What it was to make durable is written to another file.

    Then the relay is killed, and the receiver comes only now: whatever was answered is there.
    """
    launcher = Launcher(tmp_path)
    messages = numbered(2000)
    relay = prepare(RELP, launcher=launcher.words)
    launcher.inject("fdatasync:error=EIO:when=2")
    relay.start()
    sender = RelpSender(relay.port("net"))
    assert sender.send(messages)
    assert FAILS in relay.log
    relay.kill()
    launcher.inject()
    relay.start()
    with RelpReceiver(port=relay.port("next")) as receiver:
        finish(relay, sender, receiver, set(messages))


@pytest.mark.skipif(bool(cannot_inject()), reason=cannot_inject())
def test_row_25_syncs_that_fail_for_ever(prepare: Prepare, tmp_path: Path) -> None:
    """Every fdatasync says EIO. The relay stays up, runs from memory, and says so.

    A sender hears yes when its message is delivered. So nothing that was answered is missing when
    the relay is killed, and a healthy disk is used again by the next one.
    """
    launcher = Launcher(tmp_path)
    messages = numbered(2000)
    with RelpReceiver() as receiver:
        relay = prepare(RELP, {"next": receiver.port}, launcher=launcher.words)
        launcher.inject("fdatasync:error=EIO")
        relay.start()
        sender = RelpSender(relay.port("net"))
        assert sender.send(messages)
        assert set(messages) <= set(receiver.messages)
        assert relay.log.count(FAILS) == 1
        relay.kill()
        launcher.inject()
        relay.start()
        finish(relay, sender, receiver, set(messages))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where the state of a relay in `tmp_path` will be."""
    path = tmp_path / "state"
    path.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_row_26_a_disk_that_is_full_and_then_is_not(prepare: Prepare, small_disk: Path) -> None:
    """It fills up while a sender of RELP sends and the receiver is away: the sender has to wait.

    Nobody is told yes for what is not kept. When there is room again it goes on by itself, and
    after a kill everything that was answered is there.
    """
    ballast = small_disk / "ballast"
    messages = numbered(20_000)
    relay = prepare(RELP.replace("8MiB", "64MiB"))
    relay.start()
    sender = RelpSender(relay.port("net"))
    with sending(sender, messages):
        until(lambda: sender.answered, "some are kept")
        with ballast.open("wb") as file:
            until(lambda: _filled(file.fileno()), "the disk is full")
        until(lambda: FAILS in relay.log, "the spool has noticed")
        assert len(sender.answered) < len(messages)
        books = relay.ledger()
        assert total(forward(books)["dropped"]) == 0
        ballast.unlink()
    relay.kill()
    relay.start()
    with RelpReceiver(port=relay.port("next")) as receiver:
        finish(relay, sender, receiver, set(messages))


def _filled(descriptor: int) -> bool:
    """Write until there is no room; True when there is none."""
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except OSError:
        return True


@pytest.mark.skipif(bool(cannot_inject()), reason=cannot_inject())
@pytest.mark.parametrize("error", ["EROFS", "EDQUOT"])
def test_row_27_a_disk_that_takes_nothing_for_a_while(
    error: str, prepare: Prepare, tmp_path: Path
) -> None:
    """It turns read only, or a quota is used up, and then it is as before. The receiver is away.

    The sender has to wait meanwhile; then the spool is used again, and everything is there after a
    kill.
    """
    launcher = Launcher(tmp_path)
    messages = numbered(2000)
    relay = prepare(RELP, launcher=launcher.words)
    launcher.inject(f"pwrite64:error={error}:when=4..5")  # of each thread
    relay.start()
    sender = RelpSender(relay.port("net"))
    assert sender.send(messages)
    assert FAILS in relay.log
    relay.kill()
    launcher.inject()
    relay.start()
    with RelpReceiver(port=relay.port("next")) as receiver:
        finish(relay, sender, receiver, set(messages))


def test_row_27_a_directory_that_is_removed(prepare: Prepare) -> None:
    """Somebody removes the spool's directory under a running relay, and the receiver is away.

    What is answered after that is kept again, in a directory that is there.
    """
    first, second = numbered(1000), numbered(1000, "b")
    relay = prepare(RELP)
    relay.start()
    sender = RelpSender(relay.port("net"))
    assert sender.send(first)
    shutil.rmtree(spool_of(relay))
    sender.answered.clear()  # they were on the disk that was removed
    assert sender.send(second)
    relay.kill()
    relay.start()
    with RelpReceiver(port=relay.port("next")) as receiver:
        until(lambda: sender.send(numbered(1, "c")), "another one is answered")
        relay.until(lambda it: not total(forward(it)["held"]), "all is delivered")
        assert relay.stop() == 0
        assert set(sender.answered) <= set(receiver.messages)
        assert set(receiver.messages) <= {*first, *second, *numbered(1, "c")}


@pytest.mark.parametrize("kills", [4])
def test_row_24_killed_while_it_recovers(kills: int, prepare: Prepare) -> None:
    """The relay is killed as soon as it runs, again and again, on a spool with a torn end.

    Each start finds the same, invents nothing, and uses no number twice.
    """
    messages = numbered(4000)
    relay = prepare(RELP)
    relay.start()
    sender = RelpSender(relay.port("net"))
    assert sender.send(messages)
    relay.kill()
    last = segments(relay)[-1]
    with last.open("r+b") as file:
        torn = b"\xa5" * 100
        file.seek(end_of_data(last))
        file.write(torn)
    for kill in range(kills):
        relay.start()
        if kill % 2:
            relay.until(lambda it: forward(it)["recovered"] >= len(messages), "it has read it")
        relay.kill()
    relay.start()
    with RelpReceiver(port=relay.port("next")) as receiver:
        finish(relay, sender, receiver, set(messages))
        assert receiver.messages[: len(messages)] == messages


def segments(relay: RelayProcess) -> list[Path]:
    return sorted(spool_of(relay).glob("*.seg"))


def end_of_data(segment: Path) -> int:
    """Behind it there is only what was preallocated."""
    return len(segment.read_bytes().rstrip(b"\0"))
