"""Free ports for the processes of a test, and configurations that name them."""

import itertools
import os
import re
import socket
from collections.abc import Mapping

HOST = "127.0.0.1"

# Below the ephemeral range (32768 on), so that no connection of anybody takes one in between.
_FIRST, _LAST = 20000, 32000
_numbers = itertools.count(os.getpid() * 61)


def free_port() -> int:
    """A port that neither TCP nor UDP uses."""
    for number in _numbers:
        port = _FIRST + number % (_LAST - _FIRST)
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            try:
                stream.bind((HOST, port))
                datagram.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("numbers do not end")


def fill(template: str, values: Mapping[str, object]) -> tuple[str, dict[str, int]]:
    """The text with each `@name@` filled in: by its value, or else by a free port.

    Returns the ports, too, by name.
    """
    names = set(re.findall(r"@(\w+)@", template))
    ports = {name: free_port() for name in names - values.keys()}
    filled = {**values, **ports}
    return re.sub(r"@(\w+)@", lambda found: str(filled[found[1]]), template), ports
