"""Commands that answer and end: output, exit codes, one line for a mistake."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import tomli
from click.testing import CliRunner

from relay import __version__
from relay.cli.commands import cli
from tests.cli.conftest import Execute, Process, write
from tests.cli.spools import fill

ROOT = Path(__file__).parent.parent.parent


def test_version(execute: Execute) -> None:
    assert execute("version").output == f"relay {__version__}\n"
    assert execute("--version").output == f"relay {__version__}\n"


def test_it_is_the_version_of_the_package() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def test_version_needs_nothing_heavy() -> None:
    heavy = ("trio", "pydantic", "hypercorn", "starlette", "prometheus_client")
    code = (
        "import sys; from relay.cli.commands import cli\n"
        "try: cli.main(['version'])\n"
        f"except SystemExit: print([name for name in {heavy!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout == f"relay {__version__}\n[]\n"


def test_check_says_what_a_configuration_means(execute: Execute, tmp_path: Path) -> None:
    result = execute("check", "--config", write(tmp_path))
    assert result.exit_code == 0
    assert f"relay edge01, state in {tmp_path}/state" in result.stdout
    assert "look: programs -> recent" in result.stdout


def test_check_tells_every_mistake_with_its_place(execute: Execute, tmp_path: Path) -> None:
    path = write(tmp_path, text='[admin]\nlisten = "nowhere"\n[relay]\nnaem = "x"\n')
    result = execute("check", "--config", path)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) >= 4
    assert all(line.startswith(f"{path}:") for line in lines)
    assert lines[-1].startswith(f"{path}:4: relay.naem: unknown key")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_file_is_a_mistake(execute: Execute, command: str) -> None:
    result = execute(command, "--config", "/nowhere/relay.toml")
    assert result.exit_code == 2
    assert result.stderr == "/nowhere/relay.toml: cannot be read: no such file or directory\n"


def test_schema_is_json(execute: Execute) -> None:
    answer = json.loads(execute("schema").output)
    assert answer["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(execute: Execute, shell: str) -> None:
    result = execute("completion", shell)
    assert result.exit_code == 0
    assert "_RELAY_COMPLETE" in result.output


def test_completion_knows_the_commands() -> None:
    runner = CliRunner(env={"_RELAY_COMPLETE": "bash_complete", "COMP_WORDS": "relay s",
                            "COMP_CWORD": "1"})  # fmt: skip
    assert runner.invoke(cli, prog_name="relay").output.split() == [
        "plain,schema", "plain,send", "plain,senders", "plain,spool",
    ]  # fmt: skip


def test_completion_knows_the_spools(tmp_path: Path) -> None:
    fill(tmp_path, "siem")
    fill(tmp_path, "archive")
    runner = CliRunner(env={"_RELAY_COMPLETE": "bash_complete", "COMP_CWORD": "5",
                            "COMP_WORDS": f"relay spool cat --state-dir {tmp_path} s"})  # fmt: skip
    assert runner.invoke(cli, prog_name="relay").output.split() == ["plain,siem"]


def test_completion_finds_the_spools_by_the_configuration(tmp_path: Path) -> None:
    fill(tmp_path / "state", "siem")
    for path, names in ((write(tmp_path), ["plain,siem"]), ("/none", [])):
        words = f"relay spool cat --config {path} s"
        environ = {"_RELAY_COMPLETE": "bash_complete", "COMP_CWORD": "5", "COMP_WORDS": words}
        assert CliRunner(env=environ).invoke(cli, prog_name="relay").output.split() == names


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["rum"], "relay: no such command 'rum'. Did you mean 'run'?\n"),
        (["check", "extra"], "relay: got unexpected extra argument (extra)\n"),
        (["run", "--log-level", "loud"], "relay: invalid value for '--log-level': "),
        (["spool", "cat"], "relay: missing argument 'PIPE'\n"),
        (["completion", "tcsh"], "relay: invalid value for '{bash|zsh|fish}': 'tcsh'"),
        (["ledger", "--admin", "here"], 'relay: admin address: expected "HOST:PORT", not'),
        (["memory", "x", "--admin", "[::1:5"], "relay: admin address: "),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(execute: Execute, arguments: list[str], text: str) -> None:
    result = execute(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(text)
    assert result.stderr.count("\n") == 1


def test_without_a_command_the_commands_are_shown(execute: Execute) -> None:
    result = execute()
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


def test_help_is_no_mistake(execute: Execute) -> None:
    for command in ([], *([name] for name in cli.commands)):
        result = execute(*command, "--help")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("Usage: relay")


@pytest.mark.parametrize("arguments", [("schema",), ("version",), ("spool", "list")])
def test_a_full_disk_behind_stdout_is_one_line(arguments: Sequence[str], tmp_path: Path) -> None:
    options = ("--state-dir", str(tmp_path)) if arguments[0] == "spool" else ()
    with open("/dev/full", "w") as full:
        process = Process(*arguments, *options, stdout=full.fileno())
        code, _, error = process.end()
    assert (code, error) == (1, "relay: no space left on device\n")
