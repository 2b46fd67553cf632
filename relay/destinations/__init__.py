"""One file a destination type; this table is how configuration finds them."""

from relay.core.component import DestinationKeys
from relay.destinations.console import ConsoleDestination
from relay.destinations.fifo import FifoDestination
from relay.destinations.file import FileDestination
from relay.destinations.memory import MemoryDestination
from relay.destinations.program import ProgramDestination
from relay.destinations.relp import RelpDestination
from relay.destinations.stdout import StdoutDestination
from relay.destinations.tcp import TcpDestination
from relay.destinations.udp import UdpDestination
from relay.destinations.unix import UnixDestination
from relay.destinations.users import UsersDestination

DESTINATIONS: dict[str, type[DestinationKeys]] = {
    "console": ConsoleDestination,
    "fifo": FifoDestination,
    "file": FileDestination,
    "memory": MemoryDestination,
    "program": ProgramDestination,
    "relp": RelpDestination,
    "stdout": StdoutDestination,
    "tcp": TcpDestination,
    "udp": UdpDestination,
    "unix": UnixDestination,
    "users": UsersDestination,
}
