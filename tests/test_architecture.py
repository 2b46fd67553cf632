"""Imports point one way, pure code stays pure, and nobody goes around the ports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "relay"

# Which packages a package may import, besides itself: DESIGN's arrows, written out.
MAY_IMPORT = {
    "wire": set(),
    "system": set(),
    "core": {"wire", "system"},
    "spool": {"wire", "core", "system"},
    "listeners": {"wire", "core", "system"},
    "destinations": {"wire", "core", "system"},
    "config": {"wire", "core", "listeners", "destinations", "system"},
    "supervisor": {"wire", "core", "spool", "listeners", "destinations", "config", "system"},
    "admin": {"wire", "core", "config", "supervisor", "system"},
    "cli": {
        "wire",
        "core",
        "spool",
        "listeners",
        "destinations",
        "config",
        "supervisor",
        "admin",
        "system",
    },
}
# Of `system` these see nothing but the protocols: a simulation can hand in its own.
PORTS_ONLY = ("core", "spool", "listeners", "destinations", "supervisor", "config")

PURE_CODE = ("wire/", "spool/segment.py")
PURE = ("trio", "socket", "select", "time", "os", "logging", "pathlib", "threading", "asyncio")
HOST = ("socket", "select", "subprocess", "pathlib", "time", "threading", "asyncio")
ANY_EXCEPTION = {  # where a bug is met, each with a traceback in the log
    "admin/connections.py",
    "core/changes.py",
    "core/delivery.py",  # carried out of a nursery as it is, and raised again
    "core/router.py",
    "core/types.py",  # an import, and raised again as what it is
    "listeners/handshakes.py",
    "listeners/reader.py",
    "supervisor/restart.py",
}
# Without a test file of its own: no code to test, or only together with what it is for.
TESTED_ELSEWHERE = {
    "core/bounds.py": "three fields: tests/core/test_channel.py",
    "core/errors.py": "names only",
    "core/health.py": "names and numbers: tests/core/test_account.py",
    "core/place.py": "one of those in balance: tests/core/test_balance.py",
    "core/share.py": "a lease of balance: tests/core/test_balance.py",
    "core/standby.py": "a lease of failover: tests/core/test_failover.py",
    "core/holding.py": "numbers of a channel: tests of lease and spooling",
    "core/keys.py": "a base class: tests/core/test_component.py",
    "destinations/datagram.py": "what udp and unix share: their tests",
    "destinations/files.py": "the open files of file: its tests",
    "destinations/lines.py": "lines to terminals and pipes: tests of console, fifo and program",
    "destinations/reach.py": "what tcp and udp share: their tests",
    "destinations/session.py": "what all destinations share: their tests",
    "destinations/terminals.py": "the terminals of users: their tests",
    "destinations/transit.py": "a connection's octets: tests of stream, acked and epoch",
    "listeners/datagrams.py": "what udp and unix share: their tests",
    "listeners/gate.py": "half of a datagram listener: tests/listeners/test_network.py",
    "listeners/credentials.py": "who sends on a unix socket: tests of unix",
    "core/files.py": "numbers only",
    "listeners/following/copies.py": "a step of the follower: its machine",
    "listeners/following/followed.py": "one file of the follower: its machine",
    "listeners/following/known.py": "a layer of the follower: its machine",
    "listeners/following/listing.py": "a step of the follower: its machine",
    "listeners/following/missing.py": "a layer of the follower: its machine",
    "listeners/following/rules.py": "keys of file: tests of the follower",
    "listeners/following/search.py": "a layer of the follower: its machine",
    "listeners/following/steps.py": "names only",
    "listeners/limits.py": "names only",
    "listeners/turn.py": "what one turn of the reader has read: tests of tcp",
    "listeners/answering.py": "the reader of relp: its tests",
    "listeners/strangers.py": "who a reload ends: tests of secure and of allow",
    "listeners/watching.py": "half of the reader: tests of tcp, relp and secure",
    "listeners/reader.py": "what tcp, unix and relp share: their tests",
    "listeners/streams.py": "what tcp and unix share: their tests",
    "system/helper.py": "runs as a process of its own: tests/system/test_children.py",
    "system/launch.py": "runs as a process of its own: tests/system/test_program.py",
    "system/machine.py": "joins the others: tests/listeners and tests/supervisor run on it",
    "spool/creation.py": "who makes files: tests of cursor, store and the real directory",
    "spool/tail.py": "half of the store: tests/spool/test_store.py",
    "spool/group.py": "the hop of spool.py: tests of spool, nth_call and enumeration",
    "spool/reader.py": "reading back: tests/spool/test_store.py",
    "spool/recovery.py": "opening: tests/spool/test_store.py",
    "system/page_file.py": "the crash page's file: tests/spool/test_page.py",
    "system/ports/confinement.py": "what a sandbox grants: tests/system/test_sandbox.py",
    "system/ports/datagram.py": "protocols only",
    "system/ports/directory.py": "protocols only",
    "system/ports/disk.py": "protocols only",
    "system/ports/endpoint.py": "protocols only",
    "system/ports/host.py": "protocols only",
    "system/ports/journal.py": "protocols only",
    "system/ports/kernel_log.py": "protocols only",
    "system/ports/local.py": "protocols only",
    "system/ports/log_files.py": "protocols only",
    "system/ports/network.py": "protocols only",
    "system/ports/positions.py": "protocols only",
    "system/ports/stream.py": "protocols only",
    "system/ports/tls.py": "protocols and names: tests/system/tls",
    "system/receive_buffer.py": "needs real sockets: tests/system/test_sockets.py",
    "system/recvmmsg.py": "the system call of datagram.py: its tests",
}
MIRRORED = ("wire", "core", "spool", "listeners", "destinations", "system")
LINES_MAX = 320  # style: 300, and a little for what would read worse in two

# Names from a module that touch the host although the module itself is allowed.
HOST_NAMES = {
    "os": {"open", "read", "write", "pwrite", "fsync", "fdatasync", "unlink", "rename", "stat"},
    "trio": {"socket", "to_thread", "open_file", "Path", "open_tcp_stream", "serve_tcp"},
}


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    """Full names of what is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_arrows(root: Path) -> list[str]:
    wrong = []
    for name, tree in modules(root):
        package = name.split("/")[0]
        if "/" not in name:
            continue  # relay/__init__.py and __main__.py
        if package not in MAY_IMPORT:
            wrong.append(f"{name} is in a package that no arrow leads to")
            continue
        for imported in imports(tree):
            parts = imported.split(".")
            if parts[0] != "relay" or len(parts) < 2 or parts[1] not in MAY_IMPORT:
                continue
            allowed = parts[1] == package or parts[1] in MAY_IMPORT[package]
            around = parts[1] == "system" and package in PORTS_ONLY and parts[2] != "ports"
            if not allowed or around:
                wrong.append(f"{name} imports {imported}")
    return wrong


def touched(root: Path, places: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    """Where code in these directories or files imports what it must not, or calls `open`."""
    wrong = []
    for name, tree in modules(root):
        if not name.startswith(places):
            continue
        wrong += [
            f"{name} imports {imported}"
            for imported in imports(tree)
            if imported.split(".")[0] in forbidden
        ]
        wrong += [
            f"{name}:{node.lineno} calls open"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "open"
        ]
    return wrong


def host_names(root: Path, places: tuple[str, ...]) -> list[str]:
    """Where code in these directories names what touches the host, imported or as an attribute."""
    forbidden = {f"{module}.{name}" for module, names in HOST_NAMES.items() for name in names}
    wrong = []
    for name, tree in modules(root):
        if not name.startswith(places):
            continue
        wrong += [
            f"{name} imports {imported}"
            for imported in imports(tree)
            if ".".join(imported.split(".")[:2]) in forbidden
        ]
        wrong += [
            f"{name}:{node.lineno} uses {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node) in forbidden
        ]
    return wrong


def untested(root: Path, tests: Path) -> list[str]:
    """Modules without a test file of the same name, in the same place or in one below it."""
    return [
        name
        for name, _ in modules(root)
        if name.split("/")[0] in MIRRORED
        and not name.endswith("__init__.py")
        and name not in TESTED_ELSEWHERE
        and not (tests / Path(name).with_name(f"test_{Path(name).name}")).exists()
    ]


def test_imports_point_one_way() -> None:
    assert wrong_arrows(ROOT) == []


def test_wire_has_no_clock_no_sockets_and_no_log() -> None:
    assert touched(ROOT, PURE_CODE, PURE) == []


def test_components_and_core_touch_the_host_through_ports_only() -> None:
    places = ("core/", "listeners/", "destinations/")
    allowed = {"core/own.py imports threading"}  # to know its own thread, not to start one
    assert set(touched(ROOT, places, HOST)) - allowed == set()
    assert host_names(ROOT, places) == []


def test_any_exception_is_caught_in_the_named_places_only() -> None:
    found = {
        name
        for name, tree in modules(ROOT)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and not any(isinstance(inner, ast.Raise) and not inner.exc for inner in ast.walk(node))
    }
    assert found == ANY_EXCEPTION


def test_every_module_has_a_test_file_of_its_name() -> None:
    assert untested(ROOT, Path(__file__).parent) == []
    for name in TESTED_ELSEWHERE:
        assert (ROOT / name).exists()


def test_no_file_has_grown_past_reading() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > LINES_MAX
    }
    assert long == {}


def test_components_are_found_in_their_tables_under_the_name_of_their_file() -> None:
    from relay.destinations import DESTINATIONS
    from relay.listeners import LISTENERS

    for table in (LISTENERS, DESTINATIONS):
        for name, component in table.items():
            assert component.__module__.rsplit(".", 1)[1] == name


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("wire/a.py", "from relay.core import batch"),
        ("core/a.py", "import relay.listeners.udp"),
        ("core/a.py", "from relay.system.net import SystemNetwork"),
        ("listeners/a.py", "from relay.destinations import tcp"),
        ("system/a.py", "from relay.core.batch import Batch"),
        ("supervisor/a.py", "from relay.admin import server"),
        ("handlers/a.py", "import re"),
        ("config/a.py", "def f():\n    from relay.supervisor import serve"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(line)
    assert len(wrong_arrows(tmp_path)) == 1


@pytest.mark.parametrize(
    "line", ["import socket", "from time import time", "x = open('f')", "import trio.socket"]
)
def test_impure_code_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / "a.py").write_text(line)
    assert len(touched(tmp_path, PURE_CODE, PURE)) == 1


@pytest.mark.parametrize(
    "line",
    ["trio.socket.socket()", "os.open('f', 0)", "from os import open", "import trio.socket",
     "from trio.to_thread import run_sync", "from trio import to_thread"],
)  # fmt: skip
def test_a_way_around_the_ports_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.py").write_text(line)
    assert len(host_names(tmp_path, ("core/",))) == 1


def test_a_module_without_tests_is_found(tmp_path: Path) -> None:
    for name in ("relay/core/a.py", "relay/core/b.py", "tests/core/test_a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert untested(tmp_path / "relay", tmp_path / "tests") == ["core/b.py"]
