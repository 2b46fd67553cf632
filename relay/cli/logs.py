"""The log on stderr, written by a thread of its own: who blocks stderr does not stop the relay."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

LINES_MAX = 10_000  # waiting for stderr; what comes beyond is counted
STDERR = 2

# sd-daemon(3): a severity of RFC 5424 in front of a line
_SEVERITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


@dataclass(slots=True, eq=False, repr=False)
class Writer:
    """Writes lines to a descriptor in order, once it is started.

    Invariant: a line is waiting, written or counted.
    """

    descriptor: int = STDERR
    overflowed: int = 0
    _waiting: deque[bytes] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ending: bool = False
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Start the thread: not before everything is done that must come before all threads."""
        self._thread.start()

    def add(self, line: bytes) -> None:
        """Never waits for the descriptor."""
        with self._changed:
            if len(self._waiting) >= LINES_MAX:
                self.overflowed += 1
            else:
                self._waiting.append(line)
            self._changed.notify()

    def close(self, seconds_max: float) -> None:
        """Write what is waiting, as far as there is time."""
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(seconds_max)

    def _run(self) -> None:
        while lines := self._take():
            _write(self.descriptor, lines)

    def _take(self) -> bytes:
        """All that is waiting; empty at the end."""
        with self._changed:
            while not self._waiting and not self._ending:
                self._changed.wait()
            lines = b"".join(self._waiting)
            self._waiting.clear()
            if self.overflowed:
                lines += b"%d lines of log were dropped: stderr was blocked\n" % self.overflowed
                self.overflowed = 0
            return lines


class LogHandler(logging.Handler):
    """Formats for people, or for the journal when it is what reads our stderr."""

    def __init__(self, writer: Writer, *, journal: bool) -> None:
        super().__init__()
        self._writer = writer
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if self._journal:
            prefix = f"<{_SEVERITIES.get(record.levelname, 6)}>"
            line = "".join(f"{prefix}{part}\n" for part in text.splitlines())
        else:
            seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            level = record.levelname.lower()
            line = f"{seconds}.{int(record.msecs):03d}Z {level} {text}\n"
        self._writer.add(line.encode(errors="backslashreplace"))


def start_logging(level: str, environ: Mapping[str, str] = os.environ) -> Writer:
    """Log on stderr from now on; the caller closes the writer."""
    writer = Writer()
    handler = LogHandler(writer, journal=is_journal(environ, STDERR))
    handler.setLevel(level.upper())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # Our own messages are sent from INFO up, whatever stderr shows.
    logging.getLogger("relay").setLevel(min(logging.INFO, handler.level))
    logging.captureWarnings(True)
    logging.raiseExceptions = False
    return writer


def is_journal(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether a descriptor leads to the journal: $JOURNAL_STREAM, systemd.exec(5)."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _write(descriptor: int, lines: bytes) -> None:
    while lines:
        try:
            written = os.write(descriptor, lines)
        except BlockingIOError:  # somebody has made it non-blocking
            time.sleep(0.1)
        except OSError:
            return  # closed, or nobody reads: there is no place left to complain
        else:
            lines = lines[written:]
