"""The order of a boot: the relay is the first that starts, and what it needs comes one by one."""

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.inside import inside
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.names import NameServer
from tests.scenarios.harness.namespace import cannot_have_networks
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until
from tests.scenarios.test_troubles import cannot_mount

LINES = 20
ADDRESS = "192.0.2.7"

CONFIG = """
[relay]
state_dir = "@directory@/var/lib/relay"
drain_max = "5s"

[listeners.programs]
type = "unix"
path = "log.sock"

[listeners.loopback]
type = "udp"
listen = ["127.0.0.1:@loopback@"]

[listeners.edge-udp]
type = "udp"
listen = ["192.0.2.7:@edge@"]

[listeners.edge-tcp]
type = "tcp"
listen = ["192.0.2.7:@edge@"]

[listeners.named]
type = "udp"
listen = ["edge.test:@named@"]

[listeners.internal]
type = "internal"

[destinations.collector]
type = "tcp"
address = "collector.test:@collector@"
framing = "lf"

[destinations.archive]
type = "file"
path = "@directory@/var/log/relay/archive.log"

[pipes.forward]
from = "*"
to = "collector"

[pipes.archive]
from = "*"
to = "archive"
"""

pytestmark = pytest.mark.skipif(
    bool(cannot_have_networks() or cannot_mount()), reason=cannot_have_networks() or cannot_mount()
)


def test_everything_comes_after_the_relay(prepare: Prepare, tmp_path: Path) -> None:
    """No network, no name server, no /var, no collector; all of them come, one after the other.

    /var holds what the process before could not deliver. Who logs from the first moment on, by
    whatever way there is, is heard. In the end everything is where it belongs, once; every fault
    was told once; and the collector has what the relay said before anybody could be reached.
    """
    relay = prepare(CONFIG, launcher=bare_host(tmp_path))
    left_by_the_process_before(prepare, relay)
    relay.start()

    log_locally(relay, numbered(LINES, "local"))
    until(lambda: "destination archive is down" in relay.log, "the archive is missed")
    assert not (tmp_path / "var" / "lib").exists(), "what is mounted there would hide it"

    run_inside(relay, "ip", "link", "set", "lo", "up")
    send(relay, socket.SOCK_DGRAM, ("127.0.0.1", relay.port("loopback")), "loopback")
    run_inside(relay, "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    send(relay, socket.SOCK_DGRAM, (ADDRESS, relay.port("edge")), "udp")
    send(relay, socket.SOCK_STREAM, (ADDRESS, relay.port("edge")), "tcp")

    run_inside(relay, "mount", "--bind", str(tmp_path / "disk"), str(tmp_path / "var"))
    until(lambda: "crash page can be opened now" in relay.log, "the state directory is there")
    until(lambda: "spool of pipe forward works again" in relay.log, "and the spool")

    with inside(relay.pid, lambda: NameServer(tmp_path)) as names:
        names.addresses |= {"edge.test": ADDRESS, "collector.test": "127.0.0.1"}
        until(lambda: "listener named listens on all" in relay.log, "its name is found")
        send(relay, socket.SOCK_DGRAM, (ADDRESS, relay.port("named")), "named")

        port = relay.port("collector")
        with inside(relay.pid, lambda: StreamReceiver(port=port)) as collector:
            sent = {name: list(range(LINES)) for name in SENDERS}
            collector.wait(
                lambda: sum(map(len, numbers(collector.messages).values())) >= len(sent) * LINES,
                "everything is at the collector",
            )
            assert relay.stop() == 0
            collector.wait_ended()
            assert numbers(collector.messages) == sent
            text = b"\n".join(collector.messages).decode(errors="replace")
    archived = (tmp_path / "disk" / "log" / "relay" / "archive.log").read_bytes().splitlines()
    del sent["before"]  # that pipe had none
    assert numbers(archived) == sent
    for fault in FAULTS:
        assert relay.log.count(fault) == 1, fault
        assert text.count(fault) == 1, fault
    assert "dropped" not in relay.log


def test_the_state_directory_becomes_writable(prepare: Prepare, tmp_path: Path) -> None:
    """The file system of the state is there for reading alone, as at the beginning of a boot."""
    with StreamReceiver() as peer:
        (tmp_path / "var" / "lib").mkdir(parents=True)
        script = f'mount -t tmpfs -o ro tmpfs {tmp_path}/var/lib && exec "$@"'
        relay = prepare(
            SMALL, {"peer": peer.port}, launcher=("unshare", "-m", "sh", "-c", script, "sh")
        )
        relay.start()
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(LINES), "lf"))
            peer.wait_for(b"seq=%d;" % (LINES - 1))
        books = relay.ledger()["pipes"]["forward"]
        assert "Read-only file system" in books["spool"]["failing"]
        run_inside(relay, "mount", "-o", "remount,rw", str(tmp_path / "var" / "lib"))
        relay.until(
            lambda books: not books["pipes"]["forward"]["spool"]["failing"], "the spool works"
        )
        assert relay.log.count("crash page cannot be opened in") == 1
        assert relay.stop() == 0


SMALL = """
[relay]
state_dir = "@directory@/var/lib/relay"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
from = "net"
to = "peer"
"""

SENDERS = ("before", "local", "loopback", "udp", "tcp", "named")

FAULTS = (
    "listener loopback cannot listen on udp 127.0.0.1:",
    f"listener edge-udp cannot listen on udp {ADDRESS}:",
    f"listener edge-tcp cannot listen on tcp {ADDRESS}:",
    "listener named cannot listen on udp edge.test:",
    "crash page cannot be opened in",
    "spool of pipe forward fails, going on from memory",
    "destination archive is down",
)


def bare_host(directory: Path) -> Sequence[str]:
    """Runs a command on a network without any address, asking a name server that is not there."""
    (directory / "var").mkdir()
    for name in ("lib", "log"):
        (directory / "disk" / name).mkdir(parents=True)
    resolv, nsswitch = directory / "resolv.conf", directory / "nsswitch.conf"
    resolv.write_text(f"nameserver {NameServer.ADDRESS}\noptions timeout:1 attempts:1\n")
    nsswitch.write_text("hosts: files dns\n")
    script = (
        f"mount --bind {resolv} /etc/resolv.conf && "
        f'mount --bind {nsswitch} /etc/nsswitch.conf && exec "$@"'
    )
    return ("unshare", "--net", "--mount", "sh", "-c", script, "sh")


def left_by_the_process_before(prepare: Prepare, relay: RelayProcess) -> None:
    """Messages in the spool, on the file system that is mounted later."""
    (relay.directory / "before").mkdir()
    state = relay.directory / "disk" / "lib" / "relay"
    values = {"peer": relay.port("collector")}  # nobody is there
    before = prepare(
        SMALL.replace("@directory@/var/lib/relay", str(state)), values,
        directory=relay.directory / "before",
    )  # fmt: skip
    before.start()
    with connected(before.port("net")) as sender:
        sender.sendall(stream(numbered(LINES, "before"), "lf"))
        before.until(lambda it: it["pipes"]["forward"]["received"] == LINES, "they are received")
    assert before.stop() == 0


def log_locally(relay: RelayProcess, messages: Sequence[bytes]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
        program.connect(str(relay.directory / "log.sock"))
        for message in messages:
            program.send(message)


def send(relay: RelayProcess, kind: socket.SocketKind, address: tuple[str, int], name: str) -> None:
    """Numbered messages from a sender on the host of the relay."""
    with inside(relay.pid, lambda: socket.socket(socket.AF_INET, kind)) as sender:
        sender.connect(address)
        for message in numbered(LINES, name):
            sender.sendall(message + b"\n")


def run_inside(relay: RelayProcess, *command: str) -> None:
    subprocess.run(
        ["nsenter", "--net", "--mount", "--target", str(relay.pid), *command],
        check=True, capture_output=True,
    )  # fmt: skip
