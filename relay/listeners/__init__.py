"""One file a listener type; this table is how configuration finds them."""

from relay.core.component import ListenerKeys
from relay.listeners.file import FileListener
from relay.listeners.internal import InternalListener
from relay.listeners.journal import JournalListener
from relay.listeners.kmsg import KmsgListener
from relay.listeners.relp import RelpListener
from relay.listeners.tcp import TcpListener
from relay.listeners.udp import UdpListener
from relay.listeners.unix import UnixListener

LISTENERS: dict[str, type[ListenerKeys]] = {
    "file": FileListener,
    "internal": InternalListener,
    "journal": JournalListener,
    "kmsg": KmsgListener,
    "relp": RelpListener,
    "tcp": TcpListener,
    "udp": UdpListener,
    "unix": UnixListener,
}
