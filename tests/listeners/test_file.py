"""The file listener on real files and threads."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from pydantic import ValidationError

from relay.core.account import Confirmation, Refusal
from relay.core.bounds import Bounds
from relay.listeners import file
from relay.listeners.file import FileListener
from relay.listeners.following.follower import Follower
from relay.listeners.following.names import program_of
from relay.listeners.following.steps import Step
from tests.listeners.conftest import Rig


def following(path: Path, **keys: object) -> FileListener:
    return FileListener.model_validate({"type": "file", "path": str(path), "poll": "50ms", **keys})


async def test_a_line_becomes_a_message(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"hello\n\n<13>Nov 23 07:45:25 app: as it is\n")
    async with rig.running(following(path, facility="local3", severity="info")):
        assert await rig.texts(2) == [b"hello", b"is"]
    first, second = rig.held()
    assert first.startswith(b"<158>")
    assert first.endswith(b" relay.example.net app: hello")
    assert second == b"<13>Nov 23 07:45:25 app: as it is"
    assert rig.account.refused[Refusal.EMPTY] == 1
    assert rig.account.files
    assert rig.account.files.followed == 1


async def test_a_file_that_goes_as_soon_as_the_listener_is_ready_is_read(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its first look takes: whoever waits for a relay to be ready may rotate then."""
    look = Follower.look

    def slow_look(self: Follower, now: float) -> Sequence[Step]:
        time.sleep(0.1)
        return look(self, now)

    monkeypatch.setattr(Follower, "look", slow_look)
    path = tmp_path / "app.log"
    path.write_bytes(b"last words\n")
    async with rig.running(following(path)):
        path.unlink()
        assert await rig.texts(1) == [b"words"]


async def test_a_first_look_that_hangs_holds_up_nobody(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Follower.look
    monkeypatch.setattr(file, "READY_SECONDS_MAX", 0.01)
    go_on = threading.Event()

    def hanging_look(self: Follower, now: float) -> Sequence[Step]:
        go_on.wait()
        return look(self, now)

    monkeypatch.setattr(Follower, "look", hanging_look)
    path = tmp_path / "app.log"
    path.write_bytes(b"hello\n")
    with trio.fail_after(5):
        async with rig.running(following(path)):
            go_on.set()
            assert await rig.texts(1) == [b"hello"]


async def test_a_full_pipe_that_keeps_drops_nothing_and_files_are_looked_after(
    tmp_path: Path,
) -> None:
    """While it waits, a file that comes and goes is opened, so that it can be read later."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    (tmp_path / "a.log").write_bytes(b"1\n")
    async with rig.running(following(tmp_path / "*.log")):
        with trio.fail_after(5):
            while not rig.channel.full:
                await trio.sleep(0.01)
            (tmp_path / "b.log").write_bytes(b"2\n")
            while rig.account.files is None or rig.account.files.open < 2:
                await trio.sleep(0.01)
            (tmp_path / "b.log").unlink()
        found: list[bytes] = []
        with trio.fail_after(5), rig.channel.lease() as lease:
            while len(found) < 2:
                for batch in await lease.lend():
                    found += [message[-1:] for message in batch.messages]
                    lease.settle(len(batch), Confirmation.SENT)
    assert found == [b"1", b"2"]
    assert sum(rig.channel.account.dropped.values()) == 0


@pytest.mark.parametrize(
    "keys",
    [
        {"path": []},
        {"path": ""},
        {"facility": "kern"},
        {"facility": "mails"},
        {"severity": "loud"},
        {"program": "a b"},
        {"poll": "1ms"},
        {"start": "middle"},
    ],
)
def test_keys_that_make_no_sense(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FileListener.model_validate({"type": "file", "path": "a.log", **keys})


@pytest.mark.parametrize(
    ("path", "program"),
    [("/var/log/app.log", "app"), ("/x/.hidden", ".hidden"), ("/x/a b:c.log", "a_b_c")],
)
def test_program_of_a_file(path: str, program: str) -> None:
    assert program_of(path) == program


async def test_a_deleted_file_is_read_to_its_end_before_the_listener_ends(tmp_path: Path) -> None:
    """Nobody else can: at a reload or a stop it goes with the descriptor."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(10_000)))
    found: list[bytes] = []
    async with trio.open_nursery() as nursery, rig.running(following(path)) as intake:
        with trio.fail_after(5):
            while not rig.channel.full:
                await trio.sleep(0.01)
        path.unlink()

        @nursery.start_soon
        async def deliver() -> None:
            await trio.sleep(0.2)
            with rig.channel.lease() as lease:
                while len(found) < 10_000:
                    for batch in await lease.lend():
                        found.extend(message.split()[-1] for message in batch.messages)
                        lease.settle(len(batch), Confirmation.SENT)

        intake.draining.set()
    assert found == [b"%d" % number for number in range(10_000)]


async def test_what_is_left_of_a_deleted_file_at_the_deadline_is_counted(tmp_path: Path) -> None:
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    path = tmp_path / "a.log"
    path.write_bytes(b"first\n" * 10_000)
    async with rig.running(following(path)) as intake:
        with trio.fail_after(5):
            while not rig.channel.full:
                await trio.sleep(0.01)
        path.unlink()
        intake.drain_by[0] = trio.current_time() + 0.3
        intake.draining.set()
        await trio.sleep(0.5)
    assert rig.account.files is not None
    assert rig.account.files.lost_octets == 60_000 - 6 * rig.account.received > 0
