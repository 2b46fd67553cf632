"""The process that receives in the story of loss: what it has read is on file before it reads on.

So the file tells what a receiver knew that is stopped and killed. Each connection has a file of its
own, as it is cut where the connection broke.
"""

import json
import selectors
import socket
import sys
from pathlib import Path

from tests.bench.generator import HOST

READ_OCTETS = 1 << 16


def receive(listening: socket.socket, directory: Path) -> None:
    """Accept, read and record, for ever. A file is named by its place in the row."""
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listening:
                    connection, _ = listening.accept()
                    path = directory / f"{len(list(directory.iterdir())):06}"
                    file = path.open("xb", buffering=0)
                    selector.register(connection, selectors.EVENT_READ, file)
                elif not _record(key):
                    selector.unregister(key.fileobj)
                    key.data.close()
                    key.fileobj.close()  # type: ignore[union-attr]  # a socket of ours


def _record(key: selectors.SelectorKey) -> bool:
    """Read once; False at the end of the connection."""
    connection = key.fileobj
    assert isinstance(connection, socket.socket)
    try:
        data = connection.recv(READ_OCTETS)
    except ConnectionResetError:
        return False
    key.data.write(data)
    return bool(data)


def main() -> None:
    port, directory = int(sys.argv[1]), Path(sys.argv[2])
    host = sys.argv[3] if len(sys.argv) > 3 else HOST
    listening = socket.create_server((host, port))  # which sets SO_REUSEADDR
    print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
    receive(listening, directory)


if __name__ == "__main__":
    main()
