"""Relay on sockets that it did not open itself, as relay.service hands them over."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import activate
from tests.deploy.files import SYSTEMD, adapted, one, unit

DEADLINE_SECONDS = 30.0


class Manager:
    """Hears what the service tells; stands in for systemd."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(DEADLINE_SECONDS)

    def wait_for(self, assignment: str) -> None:
        while assignment not in self._socket.recv(65536).decode().splitlines():
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def program() -> str:
    found = shutil.which("relay", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("the command relay is not installed beside this Python")
    return found


def test_the_relay_runs_on_the_sockets_of_the_units(tmp_path: Path, manager: Manager) -> None:
    """Sockets as the units say, but on free ports; a message to each is in the file at the end."""
    path = adapted("systemd", tmp_path)
    path.write_text(path.read_text().replace("127.0.0.1:9514", "127.0.0.1:0"))
    wanted = []
    for name in one(unit(SYSTEMD / "relay.service"), "Sockets").split():
        keys = unit(SYSTEMD / name)
        kind = "tcp" if "ListenStream" in keys else "udp"
        for address in keys["ListenStream" if kind == "tcp" else "ListenDatagram"]:
            loopback = "::1" if "[" in address else "127.0.0.1"
            wanted.append([one(keys, "FileDescriptorName"), kind, loopback])
    relay = subprocess.Popen(
        [
            sys.executable, activate.__file__, json.dumps(wanted),
            program(), "run", "--config", str(path),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "NOTIFY_SOCKET": manager.address},
    )  # fmt: skip
    try:
        assert relay.stdout
        ports = json.loads(relay.stdout.readline())
        manager.wait_for("READY=1")
        sent = []
        for (_, kind, address), port in zip(wanted, ports, strict=False):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, activate.KINDS[kind]) as sock:
                sock.connect((address, port))
                sock.sendall(f"<13>over {kind} from {address}\n".encode())
            sent.append(f"over {kind} from {address}")
        relay.terminate()
        manager.wait_for("STOPPING=1")
        _, log = relay.communicate(timeout=DEADLINE_SECONDS)
    finally:
        relay.kill()
        relay.communicate()
    assert relay.returncode == 0, log
    assert len(sent) >= 2
    stored = (tmp_path / "log/messages.log").read_text()
    assert [text for text in sent if text not in stored] == [], log
