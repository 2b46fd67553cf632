"""A program that is fed on its standard input, and comes to an end with all it has started."""

import os
import select
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import trio

from relay.system.children import Child, OwnChild, Start
from relay.system.hops import Hops
from relay.system.output import DescriptorOutput

_SAID_OCTETS_MAX = 4096  # of standard error, the end is remembered


class SystemProgram:
    """A child that runs, and the thread that started it, reads what it says and waits for its end.

    The thread has to live as long as the child, since it is its death that the child is told of
    (PR_SET_PDEATHSIG in prctl(2)).

    Invariant: signals are sent under the lock and only before `_reaped`, so never to a process that
    has got the number of an old one.
    """

    def __init__(self, command: Sequence[str], hops: Hops, start_child: Start) -> None:
        self._command = command
        self._start_child = start_child
        self._hops = hops
        self._lock = threading.Lock()
        self._reaped = False
        self._abandoned = False  # nobody wants it any more
        self._child: Child | None = None
        self._said = b""
        self._how = ""
        self._fault: OSError | None = None
        self._output: DescriptorOutput | None = None
        self._started = trio.Event()
        self._ended = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    @classmethod
    async def start(
        cls, command: Sequence[str], hops: Hops, start_child: Start = OwnChild.start
    ) -> Self:
        """As `ports.Local.start`."""
        program = cls(command, hops, start_child)
        threading.Thread(target=program._run, name="program", daemon=True).start()
        try:
            await program._started.wait()
        except trio.Cancelled:
            program._abandon()
            raise
        if program._fault is not None:
            raise program._fault
        return program

    @property
    def stdin(self) -> DescriptorOutput:
        assert self._output is not None
        return self._output

    async def ended(self) -> str:
        await self._ended.wait()
        return self._how

    def kill(self, *, hard: bool) -> None:
        with self._lock:
            if self._child is not None and not self._reaped:
                self._child.kill(hard=hard)

    def _abandon(self) -> None:
        with self._lock:
            self._abandoned = True
        self.kill(hard=True)
        if self._output is not None:  # it had started in this moment
            self._output.close_now()

    # -- the thread

    def _run(self) -> None:
        try:
            output, status, said = self._spawn()
        except OSError as fault:
            self._fault = fault
            self._tell(self._started)
            return
        if errno := _read_all(status):  # empty once the program is there
            self._fault = OSError(int(errno), os.strerror(int(errno)))
        with self._lock:
            wanted = not (errno or self._abandoned)
            if wanted:
                self._output = DescriptorOutput(output, self._hops)
        if not wanted:
            os.close(output)
        self._tell(self._started)
        self._listen(said)
        self._reap()
        self._tell(self._ended)

    def _spawn(self) -> tuple[int, int, int]:
        """Start the child; returns our ends of its input, of its status, and of its stderr."""
        pipes: list[tuple[int, int]] = []
        try:
            pipes.extend(os.pipe() for _ in range(3))
            (given, output), (status, status_there), (said, said_there) = pipes
            os.set_blocking(output, False)
            child = self._start_child(self._command, given, status_there, said_there)
        except BaseException:
            for pipe in pipes:
                os.close(pipe[0])
                os.close(pipe[1])
            raise
        for number in (given, status_there, said_there):
            os.close(number)
        with self._lock:
            self._child = child
            abandoned = self._abandoned
        if abandoned:
            self.kill(hard=True)
        return output, status, said

    def _listen(self, said: int) -> None:
        """Read what it says until it has ended; who has its standard error from it may live on."""
        try:
            process = self._running.watch()
        except OSError as fault:  # no descriptor is left: it is not fed without being watched
            os.close(said)
            self._said = os.strerror(fault.errno or 0).encode()
            self.kill(hard=True)
            return
        try:
            self._said = _read_until_ended(said, process)
        finally:
            os.close(process)
            os.close(said)

    def _reap(self) -> None:
        self._running.await_end()
        with self._lock:
            self._reaped = True
            how = self._running.reap()
        words = " ".join(self._said.decode(errors="replace").splitlines()[-1:]).strip()
        self._how = f"{how}: {words}" if words else how

    @property
    def _running(self) -> Child:
        assert self._child is not None
        return self._child

    def _tell(self, event: trio.Event) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(event.set)


def _read_all(number: int) -> bytes:
    """All there is until the other end is closed; closes this one."""
    with open(number, "rb", buffering=0) as file:
        return file.read()


def _read_until_ended(number: int, process: int) -> bytes:
    """The last that is said by a process, until it has ended or says no more."""
    poll = select.poll()
    poll.register(number, select.POLLIN)
    poll.register(process, select.POLLIN)
    said = b""
    while True:
        ready = {each for each, _ in poll.poll()}
        data = os.read(number, 64 << 10) if number in ready else b""
        said = (said + data)[-_SAID_OCTETS_MAX:]
        if not data:
            return said
