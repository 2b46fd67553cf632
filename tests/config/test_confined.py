"""What a reload asks of a process that is locked in, and cannot have."""

from pathlib import Path

import pytest

from relay.config import ConfigErrors, load
from relay.config.confined import commands, load_within, touches
from relay.system.ports import Confinement, Touch

BASE = """\
[relay]
state_dir = "DIR/state"
[listeners.net]
type = "udp"
listen = ["127.0.0.1:514"]
[destinations.out]
type = "file"
path = "DIR/logs/out.log"
[destinations.program]
type = "program"
command = ["cat"]
[pipes.all]
from = "*"
to = "out"
"""

MORE = [
    ('[admin]\nlisten = "unix:DIR/other/relay.sock"\n',
     "admin.listen: DIR/other is outside of what the process is locked in to: needs a restart"),
    ('[admin]\ntoken_file = "DIR/other/token"\n',
     "admin.token_file: DIR/other is outside of what the process is locked in to: "
     "needs a restart"),
    ('[admin]\ntls = { certificate = "DIR/other/a", key = "DIR/state/b" }\n',
     "admin.tls.certificate: DIR/other is outside of what the process is locked in to: "
     "needs a restart"),
    ('[listeners.more]\ntype = "tcp"\nlisten = ["127.0.0.1:515"]\n',
     "listeners.more.listen: port 515 cannot be bound without privileges: needs a restart"),
    ('[listeners.kernel]\ntype = "kmsg"\npath = "DIR/logs/kmsg"\n',
     "listeners.kernel.type: the kernel's log cannot be opened without privileges: "
     "needs a restart"),
    ('[destinations.more]\ntype = "file"\npath = "DIR/other/more.log"\n',
     "destinations.more.path: DIR/other is outside of what the process is locked in to: "
     "needs a restart"),
    ('[destinations.more]\ntype = "file"\npath = "x/more.log"\nbase = "DIR/other"\n',
     "destinations.more.base: DIR/other is outside of what the process is locked in to: "
     "needs a restart"),
    ('[listeners.local]\ntype = "unix"\npath = "DIR/other/log"\n',
     "listeners.local.path: DIR/other is outside of what the process is locked in to: "
     "needs a restart"),
    ('[destinations.pipe]\ntype = "fifo"\npath = "DIR/other/fifo"\n',
     "destinations.pipe.path: DIR/other is outside of what the process is locked in to: "
     "needs a restart"),
    ('[destinations.more]\ntype = "program"\ncommand = ["cat", "-n"]\n',
     "destinations.more.command: a process that is locked in can start no other command: "
     "needs a restart"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("state", "logs", "other"):
        (tmp_path / name).mkdir()
    path = tmp_path / "relay.toml"
    path.write_text(BASE.replace("DIR", str(tmp_path)))
    return path


def confinement(directory: Path) -> Confinement:
    granted = [Touch("write", str(directory / name)) for name in ("state", "logs")]
    return Confinement(
        landlock=True, granted=granted, port_min=1024, kmsg=False, commands=frozenset({("cat",)})
    )


@pytest.mark.parametrize(("more", "text"), MORE)
def test_what_is_out_of_reach_needs_a_restart(more: str, text: str, file: Path) -> None:
    """Named with its line, like every other mistake; without a sandbox it is none."""
    now = load(str(file))
    directory = str(file.parent)
    before = file.read_text()
    file.write_text(before + more.replace("DIR", directory))
    with pytest.raises(ConfigErrors) as raised:
        load_within(str(file), now, confinement(file.parent))
    (error,) = raised.value.errors
    assert str(error).startswith(f"{file}:{error.line}: ")
    assert f"{error.key}: {error.text}" == text.replace("DIR", directory)
    assert error.line is not None
    assert error.line > before.count("\n")
    assert load_within(str(file), now, Confinement()) == load(str(file))


def test_what_is_in_reach_is_no_mistake(file: Path) -> None:
    now = load(str(file))
    text = file.read_text().replace("out.log", "sub/{host}.log")
    text += '[destinations.again]\ntype = "program"\ncommand = ["cat"]\n'
    text += '[listeners.high]\ntype = "tcp"\nlisten = ["127.0.0.1:5515"]\n'
    text += f'[listeners.local]\ntype = "unix"\npath = "{file.parent}/logs/socket"\n'
    file.write_text(text)
    assert "high" in load_within(str(file), now, confinement(file.parent)).listeners


@pytest.mark.parametrize(
    ("key", "line"), [("user", 'user = "nobody"'), ("sandbox", 'sandbox = "off"')]
)
def test_who_it_is_and_how_it_is_locked_in_is_for_life(key: str, line: str, file: Path) -> None:
    now = load(str(file))
    file.write_text(file.read_text().replace("[relay]", f"[relay]\n{line}"))
    with pytest.raises(ConfigErrors, match=f"relay.{key}: cannot change while Relay runs"):
        load_within(str(file), now, Confinement())


def test_every_place_is_known_by_its_key(file: Path) -> None:
    known = {".".join(map(str, path)): it for path, it in touches(load(str(file)))}
    assert known == {
        "relay.state_dir": Touch("write", f"{file.parent}/state"),
        "destinations.out.path": Touch("write", f"{file.parent}/logs"),
    }
    assert commands(load(str(file))) == [("cat",)]


def test_a_link_that_leads_elsewhere_opens_the_way_for_the_next(file: Path) -> None:
    """As those of containers' logs; where the next one will lead cannot be known."""
    logs = file.parent / "logs"
    more = f'[listeners.file]\ntype = "file"\npath = "{logs}/*.log"\n'
    file.write_text(file.read_text() + more)

    def places() -> set[str]:
        return {it.place for path, it in touches(load(str(file))) if path[0] == "listeners"}

    (logs / "a.log").touch()
    (logs / "b.log").symlink_to(logs / "a.log")
    assert places() == {str(logs)}
    (logs / "c.log").symlink_to(file.parent / "other" / "0.log")
    assert places() == {"/"}
    file.write_text(file.read_text() + "symlinks = false\n")
    assert places() == {str(logs)}


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ('user = "no-such-user"', "relay.user: no user 'no-such-user' on this host"),
        ('user = "root"', "relay.user: 'root' is root, whose privileges are to be given up"),
        ('user = "0"', "relay.user: '0' is root, whose privileges are to be given up"),
        ('group = "nogroup"', 'relay.group: needs the key "user" beside it'),
        ('user = "nobody"\ngroup = "no-group"', "relay.group: no group 'no-group' on this host"),
    ],
)
def test_who_cannot_be_become(keys: str, text: str, file: Path) -> None:
    file.write_text(file.read_text().replace("[relay]", f"[relay]\n{keys}"))
    with pytest.raises(ConfigErrors) as raised:
        load(str(file))
    assert [f"{it.key}: {it.text}" for it in raised.value.errors] == [text]


def test_the_files_of_tls_are_read_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their directories, that is, and the service manager's one of credentials."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/relay.service")
    config = tmp_path / "relay.toml"
    tls = 'ca = "/a/ca.pem", certificate = "/b/host.pem", key = "credential:host.key"'
    destination = f'[destinations.siem]\ntype = "tcp"\naddress = "a:1"\ntls = {{ {tls} }}\n'
    config.write_text(BASE.replace("DIR", str(tmp_path)) + destination)
    touched = [
        it for path, it in touches(load(str(config))) if path[:2] == ("destinations", "siem")
    ]
    assert set(touched) == {
        Touch("read", "/a", "tls.ca"),
        Touch("read", "/b", "tls.certificate"),
        Touch("read", "/run/credentials/relay.service", "tls.key"),
    }
