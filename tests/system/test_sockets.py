import codecs
import errno
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.system.datagram import SocketDatagramReceiver
from relay.system.ports import Endpoint
from relay.system.stream import SocketAcceptor
from tests.system.conftest import Open

ROOT = Path(__file__).parents[2]


def test_the_real_port_is_told(open_all: Open) -> None:
    [receiver] = open_all(Endpoint("udp", "127.0.0.1:0"))
    [acceptor] = open_all(Endpoint("tcp", "[::1]:0"))
    assert isinstance(receiver, SocketDatagramReceiver)
    assert isinstance(acceptor, SocketAcceptor)
    assert receiver.address.startswith("127.0.0.1:")
    assert acceptor.address.startswith("[::1]:")
    assert not receiver.address.endswith(":0")


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_star_is_a_socket_for_each_family_and_they_do_not_clash(
    kind: str, open_all: Open
) -> None:
    [four] = open_all(Endpoint(kind, "0.0.0.0:0"))  # type: ignore[arg-type]
    port = four.address.rpartition(":")[2]
    [six] = open_all(Endpoint(kind, f"[::]:{port}"))  # type: ignore[arg-type]
    assert six.address == f"[::]:{port}"
    both = open_all(Endpoint(kind, "*:0"))  # type: ignore[arg-type]
    assert [each.address.rpartition(":")[0] for each in both] == ["0.0.0.0", "[::]"]


def test_a_name_is_resolved(open_all: Open) -> None:
    assert open_all(Endpoint("tcp", "localhost:0"))


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("udp", "nonsense"), "udp nonsense: expected HOST:PORT"),
        (Endpoint("tcp", "name.invalid:0"), "tcp name.invalid:0: .*(not known|failure)"),
        (Endpoint("udp", "fd:edge"), r"udp fd:edge: no such .*there are: other\)"),
    ],
)
def test_an_error_names_the_endpoint(endpoint: Endpoint, text: str, open_all: Open) -> None:
    with pytest.raises(OSError, match=text):
        open_all(endpoint, {"other": []})


def test_a_port_in_use_is_refused_for_udp_too(open_all: Open) -> None:
    for kind in ("udp", "tcp"):
        [first] = open_all(Endpoint(kind, "127.0.0.1:0"))
        with pytest.raises(OSError, match="in use") as caught:
            open_all(Endpoint(kind, first.address))
        assert caught.value.errno == errno.EADDRINUSE


def test_what_was_opened_before_an_error_is_closed_again(
    open_all: Open, closing: ExitStack
) -> None:
    [six] = open_all(Endpoint("udp", "[::]:0"))
    port = six.address.rpartition(":")[2]
    with pytest.raises(OSError, match="in use"):
        open_all(Endpoint("udp", f"*:{port}"))  # the IPv4 half was free and opened first
    open_all(Endpoint("udp", f"0.0.0.0:{port}"))


def in_own_network(story: str) -> str:
    """What a script says that runs in a network of its own, in which not even `lo` is up."""
    if os.geteuid() != 0:
        pytest.skip("a network of its own takes root")
    begin = """
import socket
from pathlib import Path
from subprocess import check_call
from relay.system.ports import Endpoint
from relay.system.sockets import FamilyMissing, is_on_this_host, open_endpoint

def reached(call, *args):  # the kernel makes the way to an IPv6 address a little later
    while True:
        try:
            return call(*args)
        except OSError as exc:
            if exc.errno != 101:  # ENETUNREACH
                raise
"""
    command = ["unshare", "--net", sys.executable, "-c", begin + story]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_a_missing_family_is_told_apart() -> None:
    story = """
Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
try:
    open_endpoint(Endpoint("tcp", "[::1]:0"), {})
except FamilyMissing as exc:
    print(exc.strerror)
"""
    assert in_own_network(story) == "tcp [::1]:0: Cannot assign requested address\n"


@pytest.mark.parametrize(
    ("address", "before", "command"),
    [
        ("192.0.2.7:514", "link set lo up", "address add 192.0.2.7/24 dev lo"),
        ("[2001:db8::7]:514", "link set lo up", "address add 2001:db8::7/64 dev lo nodad"),
        ("[::1]:514", "", "link set lo up"),
        ("127.0.0.1:514", "", "link set lo up"),
    ],
)
def test_an_address_that_comes_later_is_listened_on_before(
    address: str, before: str, command: str
) -> None:
    """Nothing is missed: what is sent as soon as the address is there arrives."""
    story = f"""
if "{before}":
    check_call("ip {before}".split())
[receiver] = open_endpoint(Endpoint("udp", "{address}"), {{}})
[acceptor] = open_endpoint(Endpoint("tcp", "{address}"), {{}})
print(is_on_this_host(receiver.address), is_on_this_host(acceptor.address))
check_call("ip {command}".split())
print(is_on_this_host(receiver.address), is_on_this_host(acceptor.address))
host = receiver.address.rpartition(":")[0].strip("[]")
sender = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
reached(socket.create_connection, (host, 514))
sender.sendto(b"early", (host, 514))
print(receiver.receive(10, 1000), acceptor.accept() is not None)
"""
    lines = in_own_network(story).splitlines()
    assert lines[:2] == ["False False", "True True"]
    assert "early" in lines[2]
    assert lines[2].endswith("True")


def test_the_receive_buffer_is_as_large_as_asked_for_with_the_privilege(open_all: Open) -> None:
    if os.geteuid():
        pytest.skip("takes CAP_NET_ADMIN")
    asked = 2 * int(Path("/proc/sys/net/core/rmem_max").read_text())
    [receiver] = open_all(Endpoint("udp", "127.0.0.1:0", receive_buffer=asked))
    assert isinstance(receiver, SocketDatagramReceiver)
    assert receiver.receive_buffer_granted == asked


def test_a_receive_buffer_that_the_kernel_capped_shows(open_all: Open) -> None:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    privileged = os.geteuid() == 0
    for codec in ("ascii", "idna"):
        codecs.lookup(codec)  # another user may be unable to read root's Python
    if privileged:
        os.seteuid(65534)  # without CAP_NET_ADMIN
    try:
        [receiver] = open_all(Endpoint("udp", "127.0.0.1:0", receive_buffer=2 * limit))
    finally:
        if privileged:
            os.seteuid(0)
    assert isinstance(receiver, SocketDatagramReceiver)
    assert receiver.receive_buffer_granted == limit


def test_without_a_wish_the_buffer_is_left_alone(open_all: Open) -> None:
    [receiver] = open_all(Endpoint("udp", "127.0.0.1:0"))
    assert isinstance(receiver, SocketDatagramReceiver)
    assert receiver.receive_buffer_granted is None


def test_all_inherited_sockets_of_a_name_are_taken_and_survive_a_close(
    open_all: Open, closing: ExitStack
) -> None:
    ours = [closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in "ab"]
    for each in ours:
        each.bind(("127.0.0.1", 0))
    for _ in range(2):  # the second time is a reload
        opened = open_all(Endpoint("udp", "fd:edge"), {"edge": ours})
        assert [it.address for it in opened] == [
            f"127.0.0.1:{each.getsockname()[1]}" for each in ours
        ]
        assert all(it.shared for it in opened)
        for it in opened:
            it.close()


@pytest.mark.parametrize(
    ("kind", "family", "type_", "text"),
    [
        ("tcp", socket.AF_INET, socket.SOCK_DGRAM, r"another kind \(AF_INET SOCK_DGRAM\)"),
        ("udp", socket.AF_INET6, socket.SOCK_STREAM, r"another kind \(AF_INET6 SOCK_STREAM\)"),
        ("unix-datagram", socket.AF_INET, socket.SOCK_DGRAM, "another kind"),
        ("udp", socket.AF_UNIX, socket.SOCK_DGRAM, "another kind"),
        ("udp", socket.AF_NETLINK, socket.SOCK_DGRAM, "another kind"),
        ("tcp", socket.AF_INET, socket.SOCK_STREAM, "does not listen"),
    ],
)
def test_an_inherited_socket_of_another_kind_is_refused(
    kind: str, family: int, type_: int, text: str, open_all: Open, closing: ExitStack
) -> None:
    sock = closing.enter_context(socket.socket(family, type_))
    with pytest.raises(OSError, match=f"{kind} fd:edge: .*{text}"):
        open_all(Endpoint(kind, "fd:edge"), {"edge": [sock]})  # type: ignore[arg-type]
