"""Only the types that a configuration names are imported."""

import subprocess
import sys
from hashlib import sha256
from importlib import invalidate_caches
from pathlib import Path

import pytest

from relay.core import types
from relay.core.keys import Keys
from relay.core.types import Types

CONFIGURATION = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:0"]
[destinations.next]
type = "udp"
address = "127.0.0.1:9"
[pipes.all]
from = "net"
to = "next"
"""
TYPES: Types[Keys] = Types("relay.listeners", {"tcp": "TcpListener", "gone": "Gone"})


def test_a_type_is_the_class_in_the_module_of_its_name() -> None:
    model = TYPES["tcp"]
    assert (model.__module__, model.__name__) == ("relay.listeners.tcp", "TcpListener")


def test_names_are_known_without_their_classes() -> None:
    assert ("gone" in TYPES, "udp" in TYPES) == (True, False)
    assert (list(TYPES), len(TYPES)) == (["tcp", "gone"], 2)


def test_an_unknown_name_and_one_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        TYPES["udp"]
    with pytest.raises(ImportError):
        TYPES["gone"]


@pytest.mark.parametrize("now", [None, (1, 1)], ids=["uninstalled", "another"])
def test_after_an_upgrade_no_part_of_another_version_is_imported(
    now: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(types, "_installation", lambda: now)
    assert TYPES["tcp"].__name__ == "TcpListener"  # it is there already
    monkeypatch.delitem(sys.modules, "relay.listeners.tcp")
    with pytest.raises(ImportError, match="another version"):
        TYPES["tcp"]


@pytest.mark.parametrize("text", ["", "class Half(", "import os; os.gone", "1 / 0"])
def test_a_file_that_is_not_whole_yet_is_an_error_now_and_none_later(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the middle of an upgrade."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / f"half_written_{sha256(text.encode()).hexdigest()[:8]}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tcp.py").write_text(text)
    written: Types[Keys] = Types(package.name, {"tcp": "Whole"})
    with pytest.raises(ImportError, match="cannot be loaded"):
        written["tcp"]
    (package / "tcp.py").write_text("class Whole:\n    'Longer than before.'\n")
    invalidate_caches()
    assert written["tcp"].__name__ == "Whole"


def test_of_a_configuration_only_what_it_names_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(CONFIGURATION)
    code = (
        "import sys, relay.cli.run; from relay.config import load; load(sys.argv[1])\n"
        "of = ('relay.listeners.', 'relay.destinations.', 're2')\n"
        "print(*sorted(name for name in sys.modules if name.startswith(of)))"
    )
    command = [sys.executable, "-c", code, str(file)]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    loaded = set(run.stdout.split())
    assert {"relay.listeners.tcp", "relay.destinations.udp"} <= loaded
    others = ("file", "following", "journal", "kmsg", "relp", "unix", "memory", "console", "users")
    assert not {name for name in loaded if name.rpartition(".")[2] in (*others, "re2")}
