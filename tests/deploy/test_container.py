"""The container image, as far as its text tells."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import click
import pytest
import tomli

from relay.cli.commands import cli
from relay.config import Config, load
from relay.core.values import split_address
from tests.deploy.files import DEPLOY, ROOT, adapted

CONTAINERFILE = DEPLOY / "container/Containerfile"
IGNORE = DEPLOY / "container/Containerfile.dockerignore"

KNOWN = {
    "FROM", "WORKDIR", "RUN", "COPY", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL",
    "HEALTHCHECK", "ENTRYPOINT", "CMD",
}  # fmt: skip


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, comments and line ends taken out."""
    lines = [it for it in CONTAINERFILE.read_text().splitlines() if not it.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (name, arguments)
        for name, _, arguments in (it.partition(" ") for it in joined.splitlines() if it)
    ]


def last_stage(wanted: str) -> list[str]:
    found = instructions()
    begin = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    return [arguments for name, arguments in found[begin:] if name == wanted]


def only(wanted: str) -> str:
    (arguments,) = last_stage(wanted)
    return arguments


def words(arguments: str) -> list[str]:
    """The exec form, which no shell reads."""
    found = json.loads(arguments)
    assert isinstance(found, list)
    assert all(isinstance(each, str) for each in found)
    return found


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(str(adapted("container", tmp_path)))


def test_every_instruction_is_known() -> None:
    assert {name for name, _ in instructions()} <= KNOWN


def test_both_stages_have_the_same_python_and_it_is_new_enough() -> None:
    images = [arguments.split()[0] for name, arguments in instructions() if name == "FROM"]
    assert len(images) == 2
    assert len(set(images)) == 1  # the virtual environment links to the interpreter by its path
    found = re.fullmatch(r"python:(\d+)\.(\d+)-slim-\w+", images[0])
    assert found
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert least
    assert [int(it) for it in found.groups()] >= [int(it) for it in least.groups()]


def sources() -> Iterator[str]:
    for name, arguments in instructions():
        if name == "COPY" and not arguments.startswith("--from="):
            *found, _ = arguments.split()
            yield from found


def test_what_is_copied_exists_and_is_sent_to_the_build() -> None:
    rules = [it for it in IGNORE.read_text().splitlines() if it and not it.startswith("#")]
    assert rules[0] == "*"
    sent = {it.removeprefix("!") for it in rules if it.startswith("!")}
    copied = {str(PurePath(it)) for it in sources()}
    assert copied == sent
    assert [it for it in copied if not (ROOT / it).exists()] == []


def test_what_the_build_of_the_package_reads_is_copied() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", project["readme"], "relay"} <= set(sources())


def test_it_runs_as_nobody_in_particular() -> None:
    user, _, group = only("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    (made,) = [words(it) for it in last_stage("RUN")]
    assert made[made.index("-o") + 1] == user
    assert made[made.index("-g") + 1] == group
    assert [made[-1]] == words(only("VOLUME"))


def test_no_shell_stands_between_signals_and_the_relay() -> None:
    assert only("STOPSIGNAL") == "SIGTERM"
    for wanted in ("ENTRYPOINT", "CMD", "RUN"):
        for arguments in last_stage(wanted):
            assert not {"sh", "bash", "-c"} & set(words(arguments))


def test_the_command_is_one_that_the_program_has() -> None:
    (program,) = words(only("ENTRYPOINT"))
    assert Path(program).name == "relay"
    assert isinstance(cli, click.Group)
    name, *options = words(only("CMD"))
    context = cli.commands[name].make_context(name, options)
    copied = [it.split() for it in last_stage("COPY") if not it.startswith("--")]
    places = {to: source for source, to in copied}
    assert places[context.params["config"]] == "deploy/container/relay.toml"


def test_the_configuration_loads_with_and_without_its_examples(tmp_path: Path) -> None:
    assert "forward" not in load(str(adapted("container", tmp_path))).pipes
    assert "forward" in load(str(adapted("container", tmp_path, examples=True))).pipes


def test_the_state_is_in_the_volume() -> None:
    text = (DEPLOY / "container/relay.toml").read_text()
    assert [tomli.loads(text)["relay"]["state_dir"]] == words(only("VOLUME"))


def test_the_ports_are_those_of_the_configuration(config: Config) -> None:
    listening = {
        f"{split_address(it.address)[1]}/{it.kind}"
        for listener in config.listeners.values()
        for it in listener.endpoints()
    }
    assert config.admin
    admin = f"{split_address(config.admin.listen[0])[1]}/tcp"
    assert set(only("EXPOSE").split()) == listening | {admin}
    # Unprivileged: it has no capability for a port below 1024.
    assert all(int(it.partition("/")[0]) >= 1024 for it in listening)


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """An HTTP server: its port, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def health_check(port: int) -> int:
    """The exit code of the image's check, asking this port."""
    _, _, command = only("HEALTHCHECK").partition("CMD ")
    program, option, code = words(command)
    assert (Path(program).name, option) == ("python", "-c")
    done = subprocess.run(
        [sys.executable, option, code.replace(":9514/", f":{port}/")],
        capture_output=True,
        check=False,
    )
    return done.returncode


def test_the_health_check_asks_the_admin_server(config: Config) -> None:
    assert config.admin
    assert f":{split_address(config.admin.listen[0])[1]}/" in only("HEALTHCHECK")
    with answering(200) as (port, asked):
        assert health_check(port) == 0
    assert asked == ["/healthz"]
    with answering(503) as (port, asked):
        assert health_check(port) != 0
    assert health_check(port) != 0  # nobody is there any more
