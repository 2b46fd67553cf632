"""The kernel's log through /dev/kmsg."""

import errno
import os
import time
from collections.abc import Sequence

import trio

from relay.system.ports import Endpoint

_RECORD_OCTETS_MAX = 16 << 10  # the kernel's own bound is 8192 (CONSOLE_EXT_LOG_MAX)


class SystemKernelLog:
    def __init__(self, number: int, address: str, boot_id: str) -> None:
        self._number = number
        self._address = address
        self._boot_id = boot_id

    @classmethod
    def open(cls, path: str, boot_id: str) -> "SystemKernelLog":
        """Open the device to read.

        Raises:
            OSError: as open(2); EPERM without CAP_SYSLOG where `kernel.dmesg_restrict` is 1.
        """
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            return cls(os.open(path, flags), path, boot_id)
        except OSError as exc:
            raise OSError(exc.errno, f"kmsg {path}: {exc.strerror}") from exc

    @property
    def address(self) -> str:
        return self._address

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def receive(self, records_max: int, octets_max: int) -> tuple[Sequence[bytes], bool]:
        records: list[bytes] = []
        octets = 0
        for _ in range(records_max):
            if octets >= octets_max:
                break
            try:
                record = os.read(self._number, _RECORD_OCTETS_MAX)
            except BlockingIOError:
                return records, True
            except OSError as exc:
                if exc.errno == errno.EPIPE:  # overwritten: the next read has the next that is left
                    continue
                if records:
                    break  # they must reach their book; a lasting error shows at the next call
                raise
            if not record:
                return records, True
            records.append(record)
            octets += len(record)
        return records, False

    async def readable(self) -> None:
        await trio.lowlevel.wait_readable(self._number)

    def clock_ns(self) -> int:
        return time.monotonic_ns()  # as near to printk's own clock as userspace comes

    def adjust(self, endpoint: Endpoint) -> None:
        """Nothing about it can change."""

    def close(self) -> None:
        if self._number >= 0:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._number)
            os.close(self._number)
            self._number = -1

    def fileno(self) -> int:
        return self._number
