"""Becomes another program. Run by `relay.system.program` as a script of its own, not imported.

    python -I -S launch.py PARENT STATUS COMMAND...

What has to be done between fork and exec is not safe in a process with threads; here it is. And an
executable on a file system that hangs holds this process, and not the relay.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become COMMAND, which gets SIGTERM when PARENT dies; write to STATUS why that cannot be."""
    parent, status, *command = sys.argv[1:]
    os.set_inheritable(int(status), False)  # it closes when the program is there
    # prctl(2): to be told when the thread that started us ends, which waits for our end.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # it has ended before that
        sys.exit(1)
    for number in signal.valid_signals():  # Python ignores some, and nohup(1) another
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(command[0], command)  # noqa: S606 - the operator wants no shell between
    except OSError as fault:
        os.write(int(status), b"%d" % (fault.errno or 0))
        sys.exit(127)


if __name__ == "__main__":
    main()
