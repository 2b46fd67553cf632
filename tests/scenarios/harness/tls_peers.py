"""Programs that speak TLS, and want to know who we are: rsyslog and syslog-ng, on either side."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.syslog_ng import command, prefix
from tests.scenarios.harness import syslog_ng
from tests.scenarios.harness.rsyslog import RSYSLOGD, Rsyslog
from tests.scenarios.harness.waiting import until

MODULES = [Path("/usr/lib/rsyslog"), *Path("/usr/lib").glob("*/rsyslog")]

# What is received is in the file before anything else is: what a program has read when it is
# stopped is not waiting in a queue of its own.
RSYSLOG = """
global(workDirectory="{directory}" parser.escapeControlCharactersOnReceive="off")
main_queue(queue.type="Direct")
@input@
template(name="raw" type="string" string="%rawmsg%\\n")
action(type="omfile" file="{directory}/out.log" template="raw" flushOnTXEnd="on")
"""
IMTCP = """
global(defaultNetstreamDriverCAFile="@ca@" defaultNetstreamDriverCertFile="@server@"
       defaultNetstreamDriverKeyFile="@server@")
module(load="imtcp" streamDriver.name="@library@" streamDriver.mode="1"
       streamDriver.authMode="x509/name" permittedPeer="@permitted@")
input(type="imtcp" port="{port}" address="127.0.0.1")
"""
IMRELP = """
module(load="imrelp" tls.tlslib="@library@")
input(type="imrelp" port="{port}" address="127.0.0.1" tls="on" tls.caCert="@ca@"
      tls.myCert="@server@" tls.myPrivKey="@server@"
      tls.authMode="name" tls.permittedPeer=["@permitted@"])
"""
SYSLOG_NG = """@version: 3.38
options {{ stats-freq(0); }};
source net {{ network(ip("127.0.0.1") port({port}) transport("tls") flags(no-parse)
    tls(ca-file("@ca@") cert-file("@server@") key-file("@server@")
        peer-verify(required-trusted)) ); }};
destination file {{ file("{directory}/out.log" template("$MSG\\n") flush-lines(1)); }};
log {{ source(net); destination(file); }};
"""


RSYSLOG_SENDER = """
global(workDirectory="{directory}" parser.escapeControlCharactersOnReceive="off"
       defaultNetstreamDriverCAFile="@ca@" defaultNetstreamDriverCertFile="@client@"
       defaultNetstreamDriverKeyFile="@client@")
module(load="imtcp")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="raw" type="string" string="%rawmsg%")
@output@
"""
OMFWD = """
action(type="omfwd" target="127.0.0.1" port="{target}" protocol="tcp" template="raw"
       TCP_Framing="octet-counted" streamDriver="@library@" streamDriverMode="1"
       streamDriverAuthMode="x509/name" streamDriverPermittedPeers="siem.example.net"
       action.resumeRetryCount="-1" action.resumeInterval="1")
"""
OMRELP = """
module(load="omrelp" tls.tlslib="@library@")
action(type="omrelp" target="127.0.0.1" port="{target}" template="raw" tls="on"
       tls.caCert="@ca@" tls.myCert="@client@" tls.myPrivKey="@client@" tls.authMode="name"
       tls.permittedPeer=["siem.example.net"]
       action.resumeRetryCount="-1" action.resumeInterval="1")
"""
SYSLOG_NG_SENDER = """@version: 3.38
options {{ stats-freq(0); time-reopen(1); }};
source net {{ network(ip("127.0.0.1") port({port}) flags(no-parse)); }};
destination relay {{ network("127.0.0.1" port({target}) transport("tls") template("$MSG\\n")
    tls(ca-file("@ca@") cert-file("@client@") key-file("@client@")
        peer-verify(required-trusted)) ); }};
log {{ source(net); destination(relay); flags(flow-control); }};
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A program, its TLS library, and how it is told that it should use it."""

    name: str
    type: str  # of the destination
    framing: str
    config: str
    missing: str
    looks_at_names: bool = False  # of clients

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True, eq=False)
class SyslogNg(Rsyslog):
    """syslog-ng instead."""

    def start(self) -> None:
        before = prefix(syslog_ng.UNPACKED)
        assert before is not None
        words = [
            word.replace("@configuration@", str(self.directory / "rsyslog.conf")).replace(
                "@directory@", str(self.directory)
            )
            for word in command(before, syslog_ng.UNPACKED)
        ]
        with (self.directory / "rsyslog.out").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self._listens, "syslog-ng listens")


def _rsyslog(library: str, module: str, kind: str, config: str) -> Kind:
    there = Path(RSYSLOGD).exists() and any((place / module).exists() for place in MODULES)
    return Kind(
        f"rsyslog-{kind}-{library}",
        kind,
        "octet",
        RSYSLOG.replace("@input@", config.replace("@library@", library)),
        "" if there else f"rsyslogd and its {module} are not installed",
        looks_at_names=library
        != "ossl",  # of 8.2302, which takes whatever the authority has signed
    )


KINDS = (
    _rsyslog("gtls", "lmnsd_gtls.so", "tcp", IMTCP),
    _rsyslog("ossl", "lmnsd_ossl.so", "tcp", IMTCP),
    Kind("syslog-ng", "tcp", "lf", SYSLOG_NG, syslog_ng.MISSING),
    _rsyslog("gnutls", "imrelp.so", "relp", IMRELP),
    _rsyslog("openssl", "imrelp.so", "relp", IMRELP),
)


def _rsyslog_sender(library: str, module: str, kind: str, output: str) -> Kind:
    there = _rsyslog(library, module, kind, "")
    config = RSYSLOG_SENDER.replace("@output@", output.replace("@library@", library))
    return Kind(there.name, kind, "octet", config, there.missing)


SENDERS = (
    _rsyslog_sender("gtls", "lmnsd_gtls.so", "tcp", OMFWD),
    _rsyslog_sender("ossl", "lmnsd_ossl.so", "tcp", OMFWD),
    Kind("syslog-ng", "tcp", "lf", SYSLOG_NG_SENDER, syslog_ng.MISSING),
    _rsyslog_sender("gnutls", "omrelp.so", "relp", OMRELP),
    _rsyslog_sender("openssl", "omrelp.so", "relp", OMRELP),
)


def sender(kind: Kind, directory: Path, files: dict[str, str], target: int) -> Rsyslog:
    """Runs while inside, and sends to this port what it gets; `files` are `ca` and `client`."""
    config = kind.config
    for name, path in files.items():
        config = config.replace(f"@{name}@", path)
    return (SyslogNg if kind.name == "syslog-ng" else Rsyslog)(directory, config, target)


def receiver(kind: Kind, directory: Path, files: dict[str, str], permitted: str) -> Rsyslog:
    """Runs while inside; `files` are named `ca` and `server`."""
    config = kind.config.replace("@permitted@", permitted)
    for name, path in files.items():
        config = config.replace(f"@{name}@", path)
    return (SyslogNg if kind.config is SYSLOG_NG else Rsyslog)(directory, config)
