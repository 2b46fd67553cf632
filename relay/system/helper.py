"""Starts programs for a relay that may not. Run as a script of its own, not imported.

    python -I -S helper.py SOCKET PARENT

It is started before the relay is locked in, and knows from its first message the commands it may
start: nothing that comes later can make it run anything else. Each order is the number of a command
with four descriptors: the program's standard input, where to write why it can't be executed, its
standard error, and the other end of a socket for this program alone. On that comes the answer, then
orders to end it, and at last how it ended. Who closes it wants the program gone.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
ORDER_OCTETS_MAX = 1 << 20
LAUNCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")

ORDERS = {b"soft": signal.SIGTERM, b"hard": signal.SIGKILL}


class Child:
    """A program, the socket it is spoken of on, and a descriptor that is readable at its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self.process = process
        self.control = control
        self.watch = os.pidfd_open(process.pid)

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def reap(self) -> None:
        """Take what it left in its group along, and say how it ended."""
        self.kill(signal.SIGKILL)  # before it is reaped its number is nobody else's
        say(self.control, b"ended %d" % self.process.wait())
        self.control.close()
        os.close(self.watch)


def main() -> None:
    """Obey until the relay has ended; then end all that was started."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != int(sys.argv[2]):
        sys.exit(1)
    # How the relay ends is how we end. Blocked, not ignored: launch.py unblocks them for programs.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
    commands, environ = json.loads(orders.recv(ORDER_OCTETS_MAX))
    orders.send(b"ready")
    children: dict[int, Child] = {}  # by each of its two descriptors
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    while True:
        for number, _ in poll.poll():
            if number == orders.fileno():
                child = start(orders, commands, environ)
                if child is not None:
                    for each in (child.control.fileno(), child.watch):
                        children[each] = child
                        poll.register(each, select.POLLIN)
            elif number in children:
                obey(number, children, poll)


def obey(number: int, children: dict[int, Child], poll: select.poll) -> None:
    """What one of the descriptors of a program has to say."""
    child = children[number]
    control = child.control.fileno()
    if number == child.watch:
        for each in (control, child.watch):
            children.pop(each, None)
            with contextlib.suppress(KeyError):  # it was closed before the end
                poll.unregister(each)
        child.reap()
        return
    try:
        order = child.control.recv(64)
    except OSError:
        order = b""
    child.kill(ORDERS.get(order, signal.SIGKILL))
    if not order:
        poll.unregister(control)
        del children[control]


def start(
    orders: socket.socket, commands: "list[list[str]]", environ: "dict[str, str]"
) -> "Child | None":
    """Start what the next order asks for; the end of the orders is our own."""
    try:
        text, numbers, _, _ = socket.recv_fds(orders, ORDER_OCTETS_MAX, 4)
    except OSError:
        sys.exit(0)
    if not text:
        sys.exit(0)  # launch.py has asked to be told
    if len(numbers) != 4:  # short of descriptors; the relay sees its socket closed
        for number in numbers:
            os.close(number)
        return None
    given, status, said, control = numbers
    answer = socket.socket(fileno=control)
    try:
        command = commands[int(text)]
        process = subprocess.Popen(  # noqa: S603 - of the fixed list
            [sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), str(status), *command],
            stdin=given, stdout=subprocess.DEVNULL, stderr=said,
            pass_fds=[status], start_new_session=True, env=environ,
        )  # fmt: skip
        child = Child(process, answer)
    except (OSError, LookupError, ValueError) as fault:
        say(answer, b"fault %d" % (getattr(fault, "errno", 0) or 22))
        answer.close()
        return None
    finally:
        for number in (given, status, said):
            os.close(number)
    say(answer, b"started %d" % child.process.pid)
    return child


def say(control: socket.socket, text: bytes) -> None:
    """Nobody may listen any more."""
    with contextlib.suppress(OSError):
        control.send(text)


if __name__ == "__main__":
    main()
