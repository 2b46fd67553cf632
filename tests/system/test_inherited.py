import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from relay.system.inherited import inherited_sockets

ROOT = Path(__file__).parents[2]

# Takes the place of the service manager: our sockets become 3, 4, ... and LISTEN_PID is right.
STORY = """
import json, os, sys
numbers, environ = json.loads(sys.argv[1])
for position, number in enumerate(numbers):
    os.dup2(number, 100 + position)
for position in range(len(numbers)):
    os.dup2(100 + position, 3 + position)
environ["LISTEN_PID"] = str(os.getpid())
from relay.system.sockets import inherited_sockets
try:
    found = inherited_sockets(environ)
except OSError as exc:
    sys.exit(str(exc.strerror))
print(json.dumps({
    "names": {name: [s.getsockname()[1] for s in socks] for name, socks in found.items()},
    "inheritable": [os.get_inheritable(3 + n) for n in range(len(numbers))],
    "left": environ,
}))
"""


def started_with(numbers: list[int], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STORY, json.dumps([numbers, environ])]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, pass_fds=numbers
    )


def test_sockets_come_by_name_and_no_child_inherits_them() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as three,
    ):
        environ = {"LISTEN_FDS": "3", "LISTEN_FDNAMES": "edge:edge", "PATH": "/bin"}
        done = started_with([each.fileno() for each in (one, two, three)], environ)
        ports = [each.getsockname()[1] for each in (one, two, three)]
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "names": {"edge": ports[:2], "unknown": ports[2:]},
        "inheritable": [False, False, False],
        "left": {"PATH": "/bin"},
    }


def test_a_descriptor_that_is_no_socket_is_named() -> None:
    done = started_with([0], {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "edge"})
    assert done.stderr == "inherited descriptor 3 (edge): is no socket\n"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
    ],
)
def test_what_was_meant_for_another_process_is_not_taken(environ: dict[str, str]) -> None:
    assert inherited_sockets(environ) == {}
    assert environ == {}
