"""One file a destination type; this table is how configuration finds them."""

from relay.core.component import DestinationKeys
from relay.destinations.file import FileDestination
from relay.destinations.memory import MemoryDestination
from relay.destinations.relp import RelpDestination
from relay.destinations.stdout import StdoutDestination
from relay.destinations.tcp import TcpDestination
from relay.destinations.udp import UdpDestination
from relay.destinations.unix import UnixDestination

DESTINATIONS: dict[str, type[DestinationKeys]] = {
    "file": FileDestination,
    "memory": MemoryDestination,
    "relp": RelpDestination,
    "stdout": StdoutDestination,
    "tcp": TcpDestination,
    "udp": UdpDestination,
    "unix": UnixDestination,
}
