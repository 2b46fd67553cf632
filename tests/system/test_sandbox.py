"""What the kernel refuses to a process that is locked in; tried in such a process."""

import os
from pathlib import Path

import pytest

from relay.system.ports import Confinement, Touch
from relay.system.sandbox import grant
from tests.system.lockedin import need, run

LOCK = """
import glob
inside, outside = sys.argv[1:]
closed = close(grant([Touch("write", inside)]))
"""


@pytest.fixture
def directories(tmp_path: Path) -> tuple[Path, Path]:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    return inside, outside


def test_files_outside_are_out_of_reach(directories: tuple[Path, Path]) -> None:
    need("landlock")
    answers = run(
        LOCK
        + """
new = os.O_WRONLY | os.O_CREAT
answers.update(
    make=attempt(os.open, outside + "/new", new), directory=attempt(os.mkdir, outside + "/d"),
    read=attempt(os.open, outside + "/secret", os.O_RDONLY),
    truncate=attempt(os.truncate, outside + "/secret", 0),
    remove=attempt(os.unlink, outside + "/secret"),
    list=attempt(os.listdir, outside),
    passwd=attempt(os.open, "/etc/passwd", os.O_WRONLY),
    etc=attempt(os.open, "/etc/relay-test", new),
)
""",
        *directories,
    )
    assert set(answers.values()) <= {"EACCES", "EPERM"}
    assert (directories[1] / "secret").read_text() == "secret"


def test_what_was_granted_can_be_done(directories: tuple[Path, Path]) -> None:
    answers = run(
        LOCK
        + """
def work():
    os.makedirs(inside + "/a/b")
    with open(inside + "/a/b/file", "w") as file:
        file.write("text")
    os.truncate(inside + "/a/b/file", 1)
    os.rename(inside + "/a/b/file", inside + "/a/file")
    os.mkfifo(inside + "/fifo")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(inside + "/socket")
    for name in ("/fifo", "/socket", "/a/file"):
        os.unlink(inside + name)
    os.rmdir(inside + "/a/b")
answers.update(
    work=attempt(work), hosts=attempt(os.open, "/etc/hosts", os.O_RDONLY),
    name=attempt(socket.getaddrinfo, "localhost", 1), imports=attempt(__import__, "wsgiref.util"),
    null=attempt(os.open, "/dev/null", os.O_WRONLY), thread=attempt(threading.Thread().start),
    inet=attempt(socket.socket, socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET),
    proc=attempt(os.listdir, "/proc/self/fd"),
)
""",
        *directories,
    )
    assert set(answers.values()) == {"done"}


def test_no_symbolic_link_and_no_device_is_made(directories: tuple[Path, Path]) -> None:
    """A relay makes neither, and both lead elsewhere."""
    need("landlock")
    answers = run(
        LOCK + 'answers["link"] = attempt(os.symlink, outside, inside + "/link")\n', *directories
    )
    assert answers == {"link": "EACCES"}


CALLS = """
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
answers.update(
    execute=attempt(os.execv, "/bin/true", ["true"]),
    spawn=attempt(subprocess.run, ["/bin/true"]),
    raw=attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
    raw6=attempt(socket.socket, socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 58),
    packet=attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 3),
    vsock=attempt(socket.socket, socket.AF_VSOCK, socket.SOCK_STREAM),
    ptrace=attempt(call, 101, 16, os.getppid(), 0, 0),
    process_vm_readv=attempt(call, 310, os.getppid(), 0, 0, 0, 0, 0),
    mount=attempt(call, 165, b"none", b"/mnt", b"tmpfs", 0, 0),
    chroot=attempt(os.chroot, "/"), unshare=attempt(call, 272, 0x10000000),
    setns=attempt(call, 308, 0, 0), init_module=attempt(call, 175, 0, 0, 0),
    bpf=attempt(call, 321, 0, 0, 0), keyctl=attempt(call, 250, 0, 0, 0, 0, 0),
    io_uring=attempt(call, 425, 1, 0), userfaultfd=attempt(call, 323, 0),
    perf=attempt(call, 298, 0, 0, 0, 0, 0), kexec=attempt(call, 246, 0, 0, 0, 0),
    reboot=attempt(call, 169, 0, 0, 0, 0), clone=attempt(call, 56, 0x10000000, 0, 0, 0, 0),
)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of calls are of x86_64")
def test_calls_that_lead_to_the_whole_machine_are_refused(
    directories: tuple[Path, Path],
) -> None:
    """As root as well: with EPERM, so that a library that tries one goes on without."""
    need("seccomp")
    answers = run(LOCK + CALLS, *directories)
    assert answers == dict.fromkeys(answers, "EPERM")
    assert len(answers) == 21


def test_threads_that_come_later_are_locked_in_as_well(directories: tuple[Path, Path]) -> None:
    need("landlock")
    answers = run(
        LOCK
        + """
def look():
    answers["thread"] = attempt(os.open, outside + "/secret", os.O_RDONLY)
    answers["execute"] = attempt(subprocess.run, ["/bin/true"])
thread = threading.Thread(target=look)
thread.start()
thread.join()
""",
        *directories,
    )
    assert set(answers.values()) <= {"EACCES", "EPERM"}


@pytest.mark.parametrize(
    ("hidden", "kind", "text"),
    [
        ("landlockpy", "landlock", "landlockpy is not installed"),
        ("pyseccomp", "seccomp", "pyseccomp is not installed"),
    ],
)
def test_what_is_not_installed_is_missing_and_no_more(hidden: str, kind: str, text: str) -> None:
    answers = run(
        f"""
        sys.modules[{hidden!r}] = None
        closed = close(grant([]))
        answers.update(is_on=closed.{kind}, missing=list(closed.missing))
        """
    )
    assert answers["is_on"] is False
    assert text in str(answers["missing"])


def test_of_a_place_that_is_missing_the_nearest_above_is_granted(tmp_path: Path) -> None:
    rules = grant([Touch("write", str(tmp_path / "not" / "there"))])
    assert Touch("write", str(tmp_path)) in rules


def test_a_confinement_knows_what_it_reaches(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    confined = Confinement(
        landlock=True,
        granted=[Touch("write", str(tmp_path / "a")), Touch("read", str(tmp_path / "b"))],
    )
    for right, name, reached in [
        ("write", "a", True), ("write", "a/b", True), ("write", "ab", False),
        ("read", "a/x", True), ("device", "a/x", True), ("write", "link/x", True),
        ("read", "b/c", True), ("write", "b", False), ("device", "b", False), ("read", ".", False),
    ]:  # fmt: skip
        touch = Touch(right, str(tmp_path / name))  # type: ignore[arg-type]
        assert confined.reaches(touch) is reached, (right, name)
    assert Confinement().reaches(Touch("write", "/"))
