"""What a process has cost so far, from /proc (proc(5))."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime: fields 14 and 15


def waiting_seconds(pid: int) -> float:
    """How long threads were ready to run and had no processor: what others on it took away."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")  # Documentation/scheduler/sched-stats.rst
    return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9


def memory_peak(pid: int) -> int:
    """The largest resident set, in octets."""
    return _status_octets(pid, "VmHWM:")


def forget_memory_peak(pid: int) -> None:
    """From now on the peak is that of what follows (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory_now(pid: int) -> int:
    """The resident set, in octets."""
    return _status_octets(pid, "VmRSS:")


def _status_octets(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0
