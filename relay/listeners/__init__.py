"""One file a listener type; this table is how configuration finds them."""

from relay.core.component import ListenerKeys
from relay.core.types import Types

LISTENERS: Types[ListenerKeys] = Types(
    __name__,
    {
        "file": "FileListener",
        "internal": "InternalListener",
        "journal": "JournalListener",
        "kmsg": "KmsgListener",
        "relp": "RelpListener",
        "tcp": "TcpListener",
        "udp": "UdpListener",
        "unix": "UnixListener",
    },
)
