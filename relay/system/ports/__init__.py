"""The narrow ports through which Relay touches clock, network and disk.

Everything that opens a socket or a file is handed in through these protocols, so that a
simulation hands in its own and runs the code that ships. The real ones stand in
`relay.system.clock`, `relay.system.net` and `relay.system.disk`; nothing else implements or goes
around them, and `tests/test_architecture.py` says so.

Calls that are not `async` never block. `OSError` leaves a port only where its docstring says so.
"""

from relay.system.ports.confinement import Confinement, Touch, beside
from relay.system.ports.datagram import CredentialReceiver, DatagramReceiver, DatagramSender
from relay.system.ports.directory import Directory, RandomFile
from relay.system.ports.disk import Disk, File, PageFile
from relay.system.ports.endpoint import Endpoint, FamilyMissing
from relay.system.ports.host import Clock, Host
from relay.system.ports.journal import Entry, Journal, JournalTurn
from relay.system.ports.kernel_log import KernelLog
from relay.system.ports.local import Local, Login, Output, Program
from relay.system.ports.log_files import LogFile, LogFiles, Stat
from relay.system.ports.network import Network, Service, Unreachable
from relay.system.ports.positions import PositionStore
from relay.system.ports.stream import Acceptor, Connection, ConnectionBroken, ReadySet
from relay.system.ports.tls import (
    Certificate,
    Identity,
    SecureConnection,
    Tls,
    TlsContext,
    TlsFault,
    TlsReason,
    TlsSettings,
    TlsUnusable,
)

Socket = DatagramReceiver | Acceptor | KernelLog | Journal  # what an endpoint is opened as

__all__ = [
    "Acceptor",
    "Certificate",
    "Clock",
    "Confinement",
    "Connection",
    "ConnectionBroken",
    "CredentialReceiver",
    "DatagramReceiver",
    "DatagramSender",
    "Directory",
    "Disk",
    "Endpoint",
    "Entry",
    "FamilyMissing",
    "File",
    "Host",
    "Identity",
    "Journal",
    "JournalTurn",
    "KernelLog",
    "Local",
    "LogFile",
    "LogFiles",
    "Login",
    "Network",
    "Output",
    "PageFile",
    "PositionStore",
    "Program",
    "RandomFile",
    "ReadySet",
    "SecureConnection",
    "Service",
    "Socket",
    "Stat",
    "Tls",
    "TlsContext",
    "TlsFault",
    "TlsReason",
    "TlsSettings",
    "TlsUnusable",
    "Touch",
    "Unreachable",
    "beside",
]
