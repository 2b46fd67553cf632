"""`relay send` on real sockets."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Execute, free_port

SENT = re.compile(r"sent (\d+) messages in (\d+\.\d{3}) s\n")


@contextmanager
def taking(server: socket.socket) -> Iterator[Callable[[], bytes]]:
    """Reads one connection to its end; call what this gives for the bytes."""
    taken: list[bytes] = []

    def take() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                taken.append(data)

    thread = threading.Thread(target=take)
    thread.start()

    def result() -> bytes:
        thread.join()
        return b"".join(taken)

    with server:
        yield result


@contextmanager
def tcp() -> Iterator[tuple[str, Callable[[], bytes]]]:
    server = socket.create_server(("127.0.0.1", 0))
    with taking(server) as result:
        yield f"127.0.0.1:{server.getsockname()[1]}", result


def test_udp_with_an_rfc_5424_header(execute: Execute) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        result = execute(
            "send", "--udp", address, "-p", "local7.debug", "-t", "app", "two", "words"
        )
        assert result.exit_code == 0
        assert SENT.fullmatch(result.output)
        message = sock.recv(65536)
    pattern = rb"<191>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ app \d+ - - two words"
    assert re.fullmatch(pattern, message)


def test_a_unix_datagram_with_an_rfc_3164_header(execute: Execute, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        arguments = ["--unix", str(tmp_path / "log"), "--rfc", "3164", "--facility", "daemon",
                     "--severity", "3"]  # fmt: skip
        assert execute("send", *arguments, "hello").exit_code == 0
        message = sock.recv(65536)
    pattern = rb"<27>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ relay-send\[\d+\]: hello"
    assert re.fullmatch(pattern, message)


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        ("lf", b"a#012b seq=1\na#012b seq=2\n"),
        ("octet", b"9 a\nb seq=19 a\nb seq=2"),
        ("nul", b"a\nb seq=1\0a\nb seq=2\0"),
    ],
)
def test_framing_and_numbers(execute: Execute, framing: str, expected: bytes) -> None:
    with tcp() as (address, result):
        arguments = ["--tcp", address, "--framing", framing, "--count", "2", "--rfc", "raw"]
        assert execute("send", *arguments, "a\nb").exit_code == 0
        assert result() == expected


def test_lines_of_stdin_any_bytes(execute: Execute, tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(tmp_path / "log"))
    server.listen()
    with taking(server) as result:
        arguments = ["--unix", str(tmp_path / "log"), "--stream", "--rfc", "raw", "--number"]
        sent = execute("send", *arguments, stdin=b"one\r\n\xff\xfe\nthree")
        assert result() == b"one seq=1\n\xff\xfe seq=2\nthree seq=3\n"
    found = SENT.fullmatch(sent.output)
    assert found
    assert found[1] == "3"


def test_a_count_of_one_is_not_numbered(execute: Execute) -> None:
    with tcp() as (address, result):
        execute("send", "--tcp", address, "--count", "1", "--rfc", "raw", "hello")
        assert result() == b"hello\n"


def test_many_messages(execute: Execute) -> None:
    with tcp() as (address, result):
        execute("send", "--tcp", address, "--count", "100000", "--rfc", "raw", "m")
        assert result() == b"".join(b"m seq=%d\n" % n for n in range(1, 100_001))


def test_the_rate_is_kept(execute: Execute) -> None:
    with tcp() as (address, result):
        sent = execute(
            "send", "--tcp", address, "--count", "11", "--rate", "50", "--rfc", "raw", "m"
        )
        assert result().count(b"\n") == 11
    found = SENT.fullmatch(sent.output)
    assert found
    assert 0.2 <= float(found[2]) < 5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["hello"], "give one of --udp, --tcp and --unix"),
        (["--udp", "a:1", "--tcp", "b:2", "hello"], "give one of --udp, --tcp and --unix"),
        (["--udp", "a", "hello"], "--udp: expected \"HOST:PORT\", not 'a'"),
        (["--tcp", "a:1", "--stream", "hello"], "--stream belongs to --unix"),
        (["--udp", "a:1", "--count", "3"], "--count needs a message"),
        (["--udp", "a:1", "-p", "user", "x"], "--priority: expected FACILITY.SEVERITY, not 'user'"),
        (["--udp", "a:1", "-p", "users.info", "x"], "unknown facility 'users'"),
        (["--udp", "a:1", "--severity", "8", "x"], "unknown severity '8'"),
    ],
)  # fmt: skip
def test_mistakes(execute: Execute, arguments: list[str], text: str) -> None:
    result = execute("send", *arguments)
    assert (result.exit_code, result.stderr) == (2, f"relay: {text}\n")


def test_nobody_there(execute: Execute, tmp_path: Path) -> None:
    port = free_port()
    result = execute("send", "--tcp", f"127.0.0.1:{port}", "hello")
    expected = f"relay: 127.0.0.1:{port}: connection refused (0 messages sent)\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    result = execute("send", "--unix", str(tmp_path / "none"), "hello")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "no such file or directory" in result.stderr


def test_a_peer_that_resets_is_a_failure(execute: Execute) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def reset() -> None:
        connection, _ = server.accept()
        linger = b"\1\0\0\0\0\0\0\0"  # struct linger: on, 0 s
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()

    thread = threading.Thread(target=reset)
    thread.start()
    with server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        result = execute("send", "--tcp", address, "--count", "100000", "hello")
        thread.join()
    assert result.exit_code == 1
    assert re.search(r"(reset|broken pipe).* \(\d+ messages sent\)\n", result.stderr)
