"""Opens sockets as systemd does and becomes the program: activate.py SOCKETS PROGRAM ARGUMENT ...

SOCKETS is JSON: a list of [name, kind, address], kind "udp" or "tcp". Prints, as JSON, the port of
each; an address family that the kernel lacks gives none.
"""

import contextlib
import json
import os
import socket
import sys

KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


def open_sockets(wanted: list[list[str]]) -> list[tuple[str, socket.socket]]:
    opened = []
    for name, kind, address in wanted:
        with contextlib.suppress(OSError):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, KINDS[kind])
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, 0))
            if kind == "tcp":
                sock.listen()
            opened.append((name, sock))
    return opened


def main() -> None:
    opened = open_sockets(json.loads(sys.argv[1]))
    print(json.dumps([sock.getsockname()[1] for _, sock in opened]), flush=True)
    # First out of the way, so that no number is taken that is still to be copied.
    copies = [os.dup2(sock.fileno(), 100 + place) for place, (_, sock) in enumerate(opened)]
    for place, copy in enumerate(copies):
        os.dup2(copy, 3 + place, inheritable=True)
        os.set_inheritable(copy, False)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(opened))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in opened)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
