"""One file a destination type; this table is how configuration finds them."""

from relay.core.component import DestinationKeys
from relay.core.types import Types

DESTINATIONS: Types[DestinationKeys] = Types(
    __name__,
    {
        "console": "ConsoleDestination",
        "fifo": "FifoDestination",
        "file": "FileDestination",
        "memory": "MemoryDestination",
        "program": "ProgramDestination",
        "relp": "RelpDestination",
        "stdout": "StdoutDestination",
        "tcp": "TcpDestination",
        "udp": "UdpDestination",
        "unix": "UnixDestination",
        "users": "UsersDestination",
    },
)
