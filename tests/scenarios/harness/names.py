"""A name server that answers what a test wants, and processes that ask it."""

import os
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_NAME_ERROR, _NO_ERROR = 3, 0  # RFC 1035 section 4.1.1
_A = 1
_POINTER_TO_QUESTION = 0xC00C


class NameServer:
    """Answers with `addresses`; who is not in there does not exist. IPv4 only."""

    ADDRESS = f"127.{os.getpid() % 200 + 10}.53.54"

    def __init__(self, directory: Path) -> None:
        self.addresses: dict[str, str] = {}
        self.asked: list[str] = []
        self._directory = directory
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((self.ADDRESS, 53))
        self._thread = threading.Thread(target=self._run, name="names")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    @property
    def launcher(self) -> Sequence[str]:
        """Runs a command for which this is the only name server; needs the right to mount."""
        resolv, nsswitch = self._directory / "resolv.conf", self._directory / "nsswitch.conf"
        resolv.write_text(f"nameserver {self._socket.getsockname()[0]}\n")
        nsswitch.write_text("hosts: files dns\n")
        script = (
            f"mount --bind {resolv} /etc/resolv.conf && "
            f'mount --bind {nsswitch} /etc/nsswitch.conf && exec "$@"'
        )
        return ("unshare", "-m", "sh", "-c", script, "sh")

    def _run(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        name, end = _name_at(question, 12)
        kind = int.from_bytes(question[end : end + 2])
        self.asked.append(name)
        address = self.addresses.get(name)
        answers = b""
        if address and kind == _A:
            head = struct.pack("!HHHIH", _POINTER_TO_QUESTION, _A, 1, 0, 4)
            answers = head + socket.inet_aton(address)
        code = _NO_ERROR if address else _NAME_ERROR
        counts = struct.pack("!HHHHH", 0x8180 | code, 1, bool(answers), 0, 0)
        return question[:2] + counts + question[12 : end + 4] + answers


def _name_at(packet: bytes, at: int) -> tuple[str, int]:
    """The name that begins here, and where it ends."""
    labels = []
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1
