"""Messages to real programs: sh, cat, sleep."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from relay.destinations import lines as lines_module
from relay.destinations import program
from relay.destinations.program import ProgramDestination
from tests.destinations.conftest import MakeRig, Rig

MESSAGES = [b"<13>message %d" % n for n in range(20)]


def command(*words: str) -> ProgramDestination:
    return ProgramDestination.model_validate({"type": "program", "command": list(words)})


def shell(script: str, *words: object) -> ProgramDestination:
    return command("sh", "-c", script, "sh", *map(str, words))


def lines(*messages: bytes) -> bytes:
    return b"".join(message + b"\n" for message in messages)


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def pid_in(rig: Rig, path: Path) -> int:
    await rig.until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


async def test_one_line_each_and_the_end_of_its_input_at_the_end(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    """Its `cat` has read everything when the delivery has ended, and has ended itself."""
    rig = make_rig()
    rig.put(*MESSAGES)
    rig.put(b"<13>a\x1b[2J\nb\xff\tc")
    out = tmp_path / "out"
    async with rig.delivering(shell('cat > "$1"; echo end >> "$1"', out)):
        await rig.delivered()
        assert rig.account.up
    assert out.read_bytes() == lines(*MESSAGES, b"<13>a#033[2J#012b#377\tc", b"end")
    assert rig.acked() == len(MESSAGES) + 1
    assert rig.account.in_doubt == 0


async def test_no_shell_reads_the_command(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig()
    rig.put(b"<13>hello")
    strange = tmp_path / "a b; $(touch x) *"
    async with rig.delivering(command("tee", str(strange))):
        await rig.delivered()
    assert strange.read_bytes() == b"<13>hello\n"


async def test_large_amounts_arrive_whole(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig()
    messages = [b"<13>%05d %s" % (n, b"x" * (n % 900)) for n in range(5000)]
    messages.append(b"<13>" + b"y" * 500_000)
    for start in range(0, len(messages), 100):
        rig.put(*messages[start : start + 100])
    async with rig.delivering(shell('exec cat > "$1"', tmp_path / "out")):
        await rig.delivered()
    assert (tmp_path / "out").read_bytes() == lines(*messages)
    assert rig.acked() == len(messages)


async def test_what_a_program_had_not_read_when_it_died_goes_to_the_next(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    """It reads 5 lines and says why it ends."""
    rig = make_rig()
    reading = (
        'if [ -e "$1" ]; then exec cat > "$1.next"; fi; touch "$1"; '
        'for n in 1 2 3 4 5; do read line; done; while [ ! -e "$1.go" ]; do sleep 0.01; done; '
        "echo 'disk is full' >&2; exit 3"
    )
    async with rig.delivering(shell(reading, tmp_path / "mark")):
        rig.put(*MESSAGES)
        await rig.until(lambda: rig.acked() == 5)
        (tmp_path / "mark.go").touch()
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == (
            "sh: ended with status 3: disk is full, 15 messages come again"
        )
        rig.put(b"<13>behind")
        await rig.delivered()
    assert (tmp_path / "mark.next").read_bytes() == lines(*MESSAGES[5:], b"<13>behind")
    assert rig.account.in_doubt == 0
    assert rig.acked() == 21
    assert rig.account.retried == 15


async def test_a_line_that_the_death_of_its_reader_has_cut_comes_whole_to_the_next(
    make_rig: MakeRig, tmp_path: Path, short_pauses: None
) -> None:
    rig = make_rig()
    long = b"<13>" + b"y" * 200_000
    reading = 'if [ -e "$1" ]; then exec cat > "$1"; fi; touch "$1"; head -c 10000 > "$1.cut"'
    async with rig.delivering(shell(reading, tmp_path / "out")):
        rig.put(long, b"<13>behind")
        await rig.delivered()
    assert (tmp_path / "out").read_bytes() == lines(long, b"<13>behind")
    assert rig.acked() == 2
    assert rig.account.retried == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["true"], "true: ended with status 0"),
        (["sh", "-c", "exit 7"], "sh: ended with status 7"),
        (["sh", "-c", "kill -9 $$"], "sh: killed by SIGKILL"),
        (["sh", "-c", "kill -35 $$"], "sh: killed by signal 35"),
        (["sh", "-c", "printf 'one\\ntwo \\033[31m\\377\\n' >&2; exit 1"],
         "sh: ended with status 1: two #033[31m\N{REPLACEMENT CHARACTER}"),
        (["sh", "-c", "exec <&-; sleep 60"], "sh: broken pipe"),
        (["/none/such"], "/none/such: no such file or directory"),
        (["/etc/passwd"], "/etc/passwd: permission denied"),
    ],
)  # fmt: skip
async def test_why_it_is_down_is_told(
    words: list[str], reason: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "END_SECONDS_MAX", 0.1)
    rig = make_rig()
    if "<&-" in str(words):
        rig.put(*[b"<13>" + b"x" * 8000] * 20)
    async with rig.delivering(command(*words)):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason.partition(",")[0] == reason
        assert not rig.account.up


async def test_it_is_started_again_with_back_off(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig()
    async with rig.delivering(shell('date +%s.%N >> "$1"', tmp_path / "starts")):
        await rig.until(lambda: rig.account.failures == 3)
    first, second, third = map(float, (tmp_path / "starts").read_text().split())
    assert 0.8 <= second - first <= 2
    assert 1.6 <= third - second <= 4


async def test_what_does_not_end_by_itself_is_killed_with_all_it_has_started(
    make_rig: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither it nor its child minds the end of its input or SIGTERM."""
    monkeypatch.setattr(program, "END_SECONDS_MAX", 0.1)
    rig = make_rig()
    script = (
        'trap "" TERM; (while :; do sleep 0.05; done) & echo $! > "$1.child"; '
        'echo $$ > "$1.own"; while :; do sleep 0.05; done'
    )
    async with rig.delivering(shell(script, tmp_path / "pid")):
        own = await pid_in(rig, tmp_path / "pid.own")
        child = await pid_in(rig, tmp_path / "pid.child")
        assert alive(own)
        assert alive(child)
    assert rig.account.restarts == 0
    await rig.until(lambda: not alive(own) and not alive(child))


async def test_sigterm_is_asked_first(
    make_rig: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "END_SECONDS_MAX", 2)
    rig = make_rig()
    script = 'trap "echo asked > $1; exit 0" TERM; echo $$ > "$1.own"; while :; do sleep 0.02; done'
    async with rig.delivering(shell(script, tmp_path / "term")):
        await pid_in(rig, tmp_path / "term.own")
        await rig.until(lambda: rig.account.up)  # before that it would be abandoned
    assert (tmp_path / "term").read_text() == "asked\n"


async def test_at_the_end_it_may_read_what_it_was_given(make_rig: MakeRig, tmp_path: Path) -> None:
    """A reader that sleeps for a while has everything nevertheless."""
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(shell('sleep 0.3; exec cat > "$1"', tmp_path / "out")):
        await rig.until(lambda: rig.channel.held().lent == len(MESSAGES))
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").read_bytes() == lines(*MESSAGES)
    assert rig.acked() == len(MESSAGES)


async def test_what_it_does_not_read_at_the_end_is_not_delivered(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "READ_SECONDS_MAX", 0.1)
    monkeypatch.setattr(program, "END_SECONDS_MAX", 0.1)
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(command("sleep", "60")):
        await rig.until(lambda: rig.channel.held().lent == len(MESSAGES))
        await trio.sleep(0.05)
    assert rig.acked() == rig.account.in_doubt == 0
    assert rig.channel.held().memory == len(MESSAGES)


async def test_a_program_that_does_not_read_is_stalled(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.destinations.session.STALLED_SECONDS", 0.1)
    monkeypatch.setattr(lines_module, "READ_SECONDS_MAX", 0.1)
    monkeypatch.setattr(program, "END_SECONDS_MAX", 0.1)
    rig = make_rig()
    rig.put(*[b"<13>" + b"x" * 1000] * 200)
    async with rig.delivering(command("sleep", "60")):
        await rig.until(lambda: rig.account.stalled)
        assert rig.account.up
        assert rig.channel.held().messages == 200


async def test_what_it_inherits(
    make_rig: MakeRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Little environment, three descriptors, no blocked or ignored signal, a session of its own."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("TZ", "UTC")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) does
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    probe = (
        "import os, sys; out = open(sys.argv[1], 'w'); "
        "print(sorted(os.environ), sorted(map(int, os.listdir('/proc/self/fd'))), file=out); "
        "s = open('/proc/self/status').read(); "
        "print([l.split()[1] for l in s.splitlines() if l[:6] in ('SigBlk', 'SigIgn')], file=out); "
        "print(os.getpid() == os.getsid(0) == os.getpgid(0), file=out); "
        "print(os.readlink('/proc/self/fd/1'), file=out); out.close(); sys.stdin.read()"
    )
    rig = make_rig()
    out = tmp_path / "out"
    try:
        async with rig.delivering(command(sys.executable, "-S", "-c", probe, str(out))):
            await rig.until(lambda: out.exists() and out.read_text().count("\n") == 4)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.signal(signal.SIGHUP, before)
        os.close(inherited)
    first, second, third, fourth = out.read_text().splitlines()
    names, _, numbers = first.partition("] ")
    assert "SECRET" not in names
    assert "NOTIFY_SOCKET" not in names
    assert "'PATH'" in names
    assert "'TZ'" in names
    assert numbers == "[0, 1, 2, 3, 4]"  # 3: its own file; 4: the directory it lists
    blocked, ignored = (int(it.strip("'"), 16) for it in second.strip("[]").split(", "))
    assert blocked == 0
    assert ignored & ~(1 << 12 | 1 << 24) == 0  # that Python ignores SIGPIPE and SIGXFSZ itself
    assert third == "True"
    assert fourth == "/dev/null"


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_cancelled_at_any_await_nothing_is_lost_and_nothing_left_behind(
    ticks: int, make_rig: MakeRig, tmp_path: Path
) -> None:
    rig = make_rig()
    messages = [b"<13>%04d %s" % (n, b"x" * 91) for n in range(1500)]
    for start in range(0, 1500, 100):
        rig.put(*messages[start : start + 100])
    keys = shell('echo $$ >> "$1.pids"; exec cat >> "$1"', tmp_path / "out")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, keys)
        await trio.sleep(ticks / 1000)
        nursery.cancel_scope.cancel()
    async with rig.delivering(keys):
        await rig.delivered()
    assert (tmp_path / "out").read_bytes() == lines(*messages)
    assert rig.acked() == 1500
    assert rig.account.restarts == 0
    started = [int(it) for it in (tmp_path / "out.pids").read_text().split()]
    await rig.until(lambda: not any(map(alive, started)))  # one not waited for is killed in passing
