import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from pydantic import ValidationError

from relay.core.account import Confirmation, Drop
from relay.core.errors import DestinationDown
from relay.destinations.file import FileDestination
from tests.destinations.conftest import MakeRig
from tests.destinations.fakes import FakeDisk, FakeNetwork

MESSAGES = [b"<13>message %d" % n for n in range(20)]


def file(path: object, **keys: object) -> FileDestination:
    return FileDestination.model_validate({"type": "file", "path": str(path), **keys})


def lines(*messages: bytes) -> bytes:
    return b"".join(message + b"\n" for message in messages)


def from_host(host: str, n: int) -> bytes:
    return b"<13>1 2026-11-23T07:28:45Z %s app - - - %d" % (host.encode(), n)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


# -- one file


async def test_one_line_each(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig()
    rig.put(*MESSAGES[:7])
    rig.put(*MESSAGES[7:])
    async with rig.delivering(file(tmp_path / "new" / "all.log", mode="0600", fsync=True)):
        await rig.delivered()
    path = tmp_path / "new" / "all.log"
    assert path.read_bytes() == lines(*MESSAGES)
    assert path.stat().st_mode & 0o777 == 0o600
    assert rig.stored() == len(MESSAGES)


async def test_control_characters_are_escaped(make_rig: MakeRig) -> None:
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    rig.put(b"<13>one\ntwo\x1b[2J\xff")
    async with rig.delivering(file("/log/all")):
        await rig.delivered()
    assert disk.content("all") == b"<13>one#012two#033[2J#377\n"


async def test_one_append_for_all_that_is_lent(make_rig: MakeRig) -> None:
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    for message in MESSAGES:
        rig.put(message)
    async with rig.delivering(file("/log/all")):
        await rig.delivered()
        assert disk.open == 1
    assert disk.opened == ["/log/all"]
    assert disk.open == 0


async def test_file_that_cannot_be_opened_is_down(make_rig: MakeRig, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    rig = make_rig()
    destination = file(tmp_path / "all")
    wrong = f"^{tmp_path}/all: Is a directory$"
    with pytest.raises(DestinationDown, match=wrong), rig.channel.lease() as lease:
        await destination.run(lease, rig.outlet, task_status=trio.TASK_STATUS_IGNORED)


async def test_symbolic_link_is_not_followed(make_rig: MakeRig, tmp_path: Path) -> None:
    (tmp_path / "all").symlink_to(tmp_path / "elsewhere")
    rig = make_rig()
    async with rig.delivering(file(tmp_path / "all")):
        rig.put(b"<13>hello")
        await rig.until(lambda: rig.account.failures)
    assert not (tmp_path / "elsewhere").exists()
    assert rig.channel.held().memory == 1


async def test_a_hop_writes_a_mebibyte_at_most(make_rig: MakeRig) -> None:
    """And of what waits as much as that: a hop costs as much as many messages."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    messages = [b"<13>%04d %s" % (number, b"x" * 1000) for number in range(1200)]
    for start in range(0, len(messages), 100):
        rig.put(*messages[start : start + 100])
    async with rig.delivering(file("/log/all")):
        await rig.delivered()
    assert disk.content("all") == lines(*messages)
    assert disk.appends == [1000 * 1010, 200 * 1010]


async def test_lines_are_made_a_turn_at_a_time(make_rig: MakeRig) -> None:
    """A batch of many short messages is lent as a whole."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    messages = [b"<13>%d\n" % number for number in range(3000)]
    rig.put(*messages)
    rig.put(b"<13>last")
    async with rig.delivering(file("/log/all")):
        await rig.delivered()
    escaped = [message.replace(b"\n", b"#012") for message in messages]
    assert disk.content("all") == lines(*escaped, b"<13>last")
    assert len(disk.appends) == 1


async def test_what_grows_as_it_is_written_is_written_as_soon_as_it_is_a_mebibyte(
    make_rig: MakeRig,
) -> None:
    """So that a file whose format makes six octets of one holds no more of them."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    messages = [b"<13>%04d %s" % (number, b"\x01" * 1000) for number in range(1000)]
    for start in range(0, len(messages), 50):
        rig.put(*messages[start : start + 50])
    async with rig.delivering(file("/log/all", format="json")):
        await rig.delivered()
    found = disk.content("all").splitlines()
    assert len(found) == len(messages)
    assert all(
        b" %04d " % n in b" %b" % line[line.find(b'"message":"') + 11 :]
        for n, line in enumerate(found)
    )
    assert len(disk.appends) == 4
    assert max(disk.appends) <= (1 << 20) + 6 * (256 << 10)
    assert rig.account.delivered[Confirmation.STORED] == len(messages)


# -- rotation


async def test_renamed_file_is_opened_anew(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """Within a second lines may still go into the old one, never later."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    async with rig.delivering(file("/log/all")):
        rig.put(b"<13>one")
        await rig.delivered()
        disk.files["all.1"] = disk.files.pop("all")
        await trio.sleep(0.5)
        rig.put(b"<13>two")
        await rig.delivered()
        await trio.sleep(0.6)
        rig.put(b"<13>three")
        await rig.delivered()
        assert disk.open == 1
    assert disk.content("all.1") == lines(b"<13>one", b"<13>two")
    assert disk.content("all") == lines(b"<13>three")


async def test_rotation_is_looked_for_once_a_second(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """A look is a hop to a thread, as dear as the append."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    async with rig.delivering(file("/log/all")):
        for _ in range(31):
            rig.put(b"<13>hello")
            await rig.delivered()
            await trio.sleep(0.1)
    assert 2 <= disk.looks <= 3


async def test_reopening_closes_an_idle_file_at_once(make_rig: MakeRig) -> None:
    """A rotated file that nobody writes to gives its space back; the next message makes the new."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    async with rig.delivering(file("/log/all")):
        rig.put(b"<13>one")
        await rig.delivered()
        disk.files["all.1"] = disk.files.pop("all")
        rig.reopening.call()
        await trio.testing.wait_all_tasks_blocked()
        assert disk.open == 0
        rig.put(b"<13>two")
        await rig.delivered()
    assert disk.content("all.1") == b"<13>one\n"
    assert disk.content("all") == b"<13>two\n"
    assert rig.account.connections == 1


@pytest.mark.parametrize("ticks", range(12))
async def test_reopening_is_never_missed(ticks: int, make_rig: MakeRig) -> None:
    """Called while a batch is written to several files, it is followed before the next append."""
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*[from_host(host, n) for n, host in enumerate("abcabc")])
    async with rig.delivering(file("/log/{host}")):
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        rotated = {path: disk.files.pop(path) for path in list(disk.files)}
        before = {path: bytes(old.content) for path, old in rotated.items()}
        rig.reopening.call()
        under_way = {path for path in rotated if not before[path]}
        await rig.delivered()
        rig.put(*[from_host(host, n) for n, host in enumerate("abc", 6)])
        await rig.delivered()
        for path, old in rotated.items():
            grown = bytes(old.content) != before[path]
            assert not grown or path in under_way, "only a hop that was on its way ends there"
    stored = [*rotated.values(), *disk.files.values()]
    text = b"".join(bytes(each.content) for each in stored)
    wanted = [from_host(host, n) for n, host in enumerate("abcabcabc")]
    assert sorted(text.splitlines()) == sorted(wanted)


# -- full disks


async def test_full_disk_is_survived(
    make_rig: MakeRig, small_disk: Path, short_pauses: None
) -> None:
    """Without a restart, and with every message in the file exactly once."""
    messages = [b"<13>%d %s" % (n, b"x" * 1000) for n in range(200)]
    rig = make_rig()
    rig.put(*messages)
    received = b""
    async with rig.delivering(file(small_disk / "all")):
        with trio.fail_after(20):
            while rig.channel.held().memory + rig.channel.held().lent:
                await rig.until(lambda: rig.account.down_reason or not rig.channel.held().octets)
                if rig.account.down_reason:
                    assert rig.account.down_reason == f"{small_disk}/all: No space left on device"
                    assert not rig.account.up
                received += (small_disk / "all").read_bytes()
                os.truncate(small_disk / "all", 0)
                await trio.sleep(0.02)
    received += (small_disk / "all").read_bytes()
    assert received == lines(*messages)
    assert rig.account.restarts == 0


async def test_full_disk_is_not_up_again_at_each_attempt(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """Opening a file on a full disk succeeds; the back-off grows all the same."""
    disk = FakeDisk(room=30)
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*MESSAGES)
    async with rig.delivering(file("/log/all")):
        await trio.sleep(100)
        assert rig.stored() == 2
        assert rig.account.connections == 0
        assert rig.account.failures < 10
        disk.room = None
        await rig.delivered(100)
        assert rig.account.up
    assert disk.content("all") == lines(*MESSAGES)


# -- templates


async def test_each_message_into_its_own_file(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig()
    rig.put(*[from_host(host, n) for n, host in enumerate("abab")])
    rig.put(from_host("../../etc/x", 4))
    async with rig.delivering(file(f"{tmp_path}/remote/{{host}}/{{program}}.log")):
        await rig.delivered()
    remote = tmp_path / "remote"
    assert (remote / "a/app.log").read_bytes() == lines(from_host("a", 0), from_host("a", 2))
    assert (remote / "b/app.log").read_bytes() == lines(from_host("b", 1), from_host("b", 3))
    assert sorted(os.listdir(remote)) == ["__.._etc_x", "a", "b"]
    assert rig.stored() == 5


async def test_files_follow_the_day_of_receipt(make_rig: MakeRig) -> None:
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    day_ns = 86_400 * 10**9
    rig.put(b"<13>one", received_ns=0)
    rig.put(b"<13>two", received_ns=day_ns - 1)
    rig.put(b"<13>three", received_ns=day_ns)
    async with rig.delivering(file("/log/{date}")):
        await rig.delivered()
    assert disk.content("1970-01-01") == lines(b"<13>one", b"<13>two")
    assert disk.content("1970-01-02") == lines(b"<13>three")


async def test_files_used_least_are_closed(make_rig: MakeRig) -> None:
    disk = FakeDisk()
    rig = make_rig(FakeNetwork(), disk)
    async with rig.delivering(file("/log/{host}", files_max=2)):
        for n, host in enumerate("abacab"):
            rig.put(from_host(host, n))
            await rig.delivered()
    assert disk.open_max == 2
    assert disk.open == 0
    assert disk.opened == ["/log/a", "/log/b", "/log/c", "/log/b"]


async def test_failing_file_settles_what_is_written_before_it(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """a0 a1 b2 a3 b4, and b fails: 0 and 1 are settled, and 3 comes twice."""
    disk = FakeDisk()
    disk.faults["b"] = OSError(errno.EACCES, os.strerror(errno.EACCES), "b")
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*[from_host(host, n) for n, host in enumerate("aabab")])
    async with rig.delivering(file("/log/{host}")):
        await rig.until(lambda: rig.account.failures)
        assert rig.stored() == 2
        assert rig.account.down_reason == "/log/b: Permission denied"
        del disk.faults["b"]
        await rig.delivered()
    assert disk.content("a") == lines(*[from_host("a", n) for n in (0, 1, 3, 3)])
    assert disk.content("b") == lines(*[from_host("b", n) for n in (2, 4)])
    assert rig.stored() == 5


async def test_full_disk_among_many_files_loses_nothing(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    messages = [from_host(host, n) for n, host in enumerate("abababab")]
    disk = FakeDisk(room=3 * (len(messages[0]) + 1))
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*messages)
    async with rig.delivering(file("/log/{host}")):
        await rig.until(lambda: rig.account.failures)
        assert rig.stored() == 1, "the second is not in its file, the third and fifth are"
        disk.room = None
        await rig.delivered()
    text = disk.content("a") + disk.content("b")
    assert set(text.splitlines()) == set(messages)
    assert rig.stored() == len(messages)


async def test_path_that_can_never_be_costs_its_messages_alone(
    make_rig: MakeRig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger who calls himself like a directory must not stop the files of all others."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    rig = make_rig()
    for hosts in ("a", "archive", "b", "link"), ("archive", "a"):
        rig.put(*[from_host(host, n) for n, host in enumerate(hosts)])
    async with rig.delivering(file(f"{tmp_path}/{{host}}")):
        await rig.delivered()
    assert (tmp_path / "a").read_bytes() == lines(from_host("a", 0), from_host("a", 1))
    assert (tmp_path / "b").read_bytes() == lines(from_host("b", 2))
    assert rig.stored() == 3
    assert rig.account.dropped[Drop.REFUSED] == 3
    assert rig.account.failures == 0
    assert caplog.text.count("its messages are dropped") == 1


async def test_wrong_base_drops_nothing(make_rig: MakeRig, tmp_path: Path) -> None:
    (tmp_path / "base").touch()
    rig = make_rig()
    rig.put(from_host("a", 0))
    async with rig.delivering(file(f"{tmp_path}/base/{{host}}")):
        await rig.until(lambda: rig.account.failures)
    assert rig.account.down_reason == f"{tmp_path}/base/a: Not a directory"
    assert rig.channel.held().memory == 1


@pytest.mark.parametrize("path", ["/log/all", "/log/{host}"])
@pytest.mark.parametrize("ticks", range(30))
async def test_cancelled_at_any_await_nothing_is_lost_or_written_twice(
    ticks: int, path: str, make_rig: MakeRig
) -> None:
    messages = [from_host(host, n) for n, host in enumerate("abcabcab")]
    disk = FakeDisk(lines_max=2)
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*messages[:3])
    rig.put(*messages[3:])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, file(path, files_max=2))
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        nursery.cancel_scope.cancel()
    rig.check()
    assert disk.open == 0
    async with rig.delivering(file(path, files_max=2)):
        await rig.delivered()
    text = b"".join(bytes(each.content) for each in disk.files.values())
    assert sorted(text.splitlines()) == sorted(messages)
    assert rig.stored() == len(messages)


# -- configuration


@pytest.mark.parametrize(
    ("keys", "where", "wrong"),
    [
        ({"path": "/var/log/{hots}"}, "path", "unknown placeholder {hots}"),
        ({"path": "/var/log/{host"}, "path", "unbalanced brace"),
        ({"path": "/var/../log"}, "path", 'no component may be ".."'),
        ({"path": "/srv/{host}", "base": "/var/log"}, "base", "is not below base '/var/log'"),
        ({"path": "/srv/{hots}", "base": "/var/log"}, "path", "unknown placeholder"),
    ],
)
def test_wrong_keys_are_found_at_configuration_time(
    keys: dict[str, str], where: str, wrong: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        FileDestination.model_validate({"type": "file", **keys})
    [error] = caught.value.errors()
    assert error["loc"] == (where,)
    assert wrong in error["msg"]
