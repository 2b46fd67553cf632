import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.system.service import ServiceManager, watchdog_seconds


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        abstract = f"\0relay-test-{os.getpid()}"
        sock.bind(str(tmp_path / "notify") if request.param == "path" else abstract)
        sock.setblocking(False)
        yield sock


def service_of(manager: socket.socket) -> ServiceManager:
    name = manager.getsockname()
    address = "@" + name[1:].decode() if isinstance(name, bytes) else name
    return ServiceManager.of({"NOTIFY_SOCKET": address})


def test_the_manager_hears_each_news(manager: socket.socket) -> None:
    service = service_of(manager)
    service.ready()
    assert manager.recv(1000) == b"READY=1\nSTATUS=running"
    service.status("3 of 4 listeners\nbound")
    assert manager.recv(1000) == b"STATUS=3 of 4 listeners bound"
    service.alive()
    assert manager.recv(1000) == b"WATCHDOG=1"
    service.stopping("draining")
    assert manager.recv(1000) == b"STOPPING=1\nSTATUS=draining"


def test_a_reload_says_when_it_began(manager: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    service_of(manager).reloading()
    reloading, stamp, _ = manager.recv(1000).split(b"\n")
    assert reloading == b"RELOADING=1"
    assert before <= int(stamp.removeprefix(b"MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_news_need_no_descriptor(manager: socket.socket) -> None:
    """At the start outputs may have them all for a moment; the manager must hear that we run."""
    service = service_of(manager)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with contextlib.suppress(OSError):
            while True:
                stack.enter_context(open(os.devnull))
        service.ready()
    assert manager.recv(1000) == b"READY=1\nSTATUS=running"


def test_a_manager_that_does_not_listen_holds_nobody(manager: socket.socket) -> None:
    service = service_of(manager)
    for _ in range(2000):  # more than its queue holds
        service.alive()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "/nonexistent/notify"},
        {"NOTIFY_SOCKET": "/" + "x" * 200},
        {"NOTIFY_SOCKET": "/with\0nul"},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
    ],
)
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    ServiceManager.of(environ).ready("text that is no UTF-8: \udcff")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_what_the_environment_says(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds(environ) == seconds
