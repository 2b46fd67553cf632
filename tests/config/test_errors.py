"""Every mistake is told with file, line and key, all of them at once."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from relay.config import Config, load
from relay.config.summary import warnings
from tests.config.files import LISTENER_TYPES, WHOLE, check, check_more, errors_of, write


def test_the_whole_is_valid(tmp_path: Path) -> None:
    assert isinstance(load(write(tmp_path, WHOLE)), Config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = \n", ["1:5: expected a value"]),
        ("a =", ["1:4: expected a value"]),
        ("a = [\n  1\n  2\n]\n", ['3:3: expected "," or "]", in what begins on line 1']),
        ("a = { b = 1 c = 2 }\n", ['1:13: expected "," or "}"']),
        ("\n[listeners.a]\ntype = udp\n", ["3:8: expected a value; text stands in quotes"]),
        ("a 1\n", ["1:3: expected '=' after a key in a key/value pair"]),
        ("a = 'x\n", ["2:1: expected \"'\", in what begins on line 1"]),
        (
            'x = 1\na = """\nfoo\n',
            ["4:1: unterminated string, in what begins on line 2"],
        ),
        ("a = [\n  1,\n  b\n]\n", [
            "3:3: expected a value; text stands in quotes, in what begins on line 1"
        ]),
        ("[relay\n", ["1:7: expected ']' at the end of a table declaration"]),
        ("a = 1\r\nb = 'x\r\n", ["3:1: expected \"'\", in what begins on line 2"]),
        ("a = " + "[" * 500, ["1: is nested too deeply"]),
        ("b = 1\na = " + "9" * 5000, ["2: has a number of too many digits"]),
        (".".join(["a"] * 2000) + " = 1", ["1: is nested too deeply"]),
    ],
)  # fmt: skip
def test_syntax_errors_have_line_and_column(
    tmp_path: Path, text: str, expected: Sequence[str]
) -> None:
    check(tmp_path, text, *expected)


def test_numbers_that_toml_does_not_have(tmp_path: Path) -> None:
    check(
        tmp_path,
        f"a = [\n0x7fffffffffffffff,\n0x8000000000000000,\n]\nb.c = -9223372036854775809\n"
        f"d = {hex(1 << 20000)}\n",
        "3: a[1]: a whole number has no more than 64 bits",
        "5: b.c: a whole number has no more than 64 bits",
        "6: d: a whole number has no more than 64 bits",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[relay]\na = 1\nb = 2\na = 3\n", "4: relay.a: is given twice, first on line 2"),
        (
            "[listeners.a]\n[listeners.b]\n[listeners.a]\n",
            "3: listeners.a: is given twice, first on line 1",
        ),
        ('[listeners."a b"]\n[listeners."a b"]\n',
         '2: listeners."a b": is given twice, first on line 1'),
        ("a = [\n1,\n2,\n]\n\na = [\n3,\n4,\n]\n", "6: a: is given twice, first on line 1"),
        ("a = 1\na.b = 2\n", "2: a: is given twice, first on line 1"),
        ("a = {b = 1}\n[a.c]\n", "2: a: is given twice, first on line 1"),
        ("[[a]]\n[a]\n", "2: a: is given twice, first on line 1"),
        ("a = {b = 1, b = 2}\n", "1:18: a key is given twice in an inline table"),
        ("a = {b = 1, b.c = 2}\n", "1:20: a key is given twice in an inline table"),
        ("[a.b]\nx = 1\n[a]\nb.c = 1\n", "4: a.b: is given twice, first on line 1"),
    ],
)  # fmt: skip
def test_names_used_twice(tmp_path: Path, text: str, expected: str) -> None:
    check(tmp_path, text, expected)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xff", "1:1: byte 0xff is not UTF-8"),
        (b"a = 1\n# \xc3\xa4 \xe4 x\n", "2:5: byte 0xe4 is not UTF-8"),
        (b"\xef\xbb\xbfa = 1\n\xe4", "2:1: byte 0xe4 is not UTF-8"),
        (b"a = 1\n\xc3", "2:1: byte 0xc3 is not UTF-8"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "relay.toml"
    path.write_bytes(data)
    assert errors_of(str(path)) == [expected]


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert load(write(tmp_path, "\ufeff" + WHOLE)) == load(write(tmp_path, WHOLE))


def test_carriage_returns_count_as_line_ends(tmp_path: Path) -> None:
    text = WHOLE.replace("\n", "\r\n")
    assert load(write(tmp_path, text)) == load(write(tmp_path, WHOLE))
    check(tmp_path, text + "[extra]\r\n", '13: extra: unknown table (known: relay, admin, '
          "listeners, destinations, pipes)")  # fmt: skip


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert errors_of(str(tmp_path / "none")) == [" cannot be read: no such file or directory"]
    assert errors_of(str(tmp_path)) == [" cannot be read: is a directory"]
    assert errors_of("a\0b") == [" cannot be read: embedded null byte"]
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((16 << 20) + 1)
    assert errors_of(str(large)) == [" is larger than the 16777216 octets a configuration may have"]


def test_an_empty_file_says_what_is_needed(tmp_path: Path) -> None:
    check(
        tmp_path,
        "",
        "1: destinations: is required: there is no table [destinations.NAME]",
        "1: listeners: is required: there is no table [listeners.NAME]",
        "1: pipes: is required: there is no table [pipes.NAME]",
    )


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = f"""\
colour = "red"
[relay]
state_dir = "{tmp_path}/file/state"
memory_max = "lots"
[admin]
listen = "127.0.0.1:5514"
[listeners.a]
type = "tcp"
listen = ["0.0.0.0:5514"]
[listeners.b]
type = "udp"
listen = ["0.0.0.0:5514", "nonsense"]
idle_max = 5
[listeners.c]
type = "smoke"
[destinations.d]
type = "tcp"
[destinations.e]
address = "x:1"
[pipes."f g"]
from = ["a", "d", "a"]
to = "z"
match = {{ facility = "kern", regex = "(", severity = "loud" }}
overflow = "block!"
"""
    check(
        tmp_path,
        text,
        "1: colour: unknown table (known: relay, admin, listeners, destinations, pipes)",
        '4: relay.memory_max: expected a size such as "64KiB" or "10MB", not \'lots\'',
        '9: listeners.a.listen[0]: "0.0.0.0:5514" is already taken by the admin server '
        '("127.0.0.1:5514")',
        "12: listeners.b.listen[1]: expected \"HOST:PORT\", not 'nonsense'",
        "13: listeners.b.idle_max: unknown key (known: message_max, timezone, timestamp, hop, "
        "expect, silent_after, allow, rate_limit, burst, type, listen, receive_buffer)",
        f'15: listeners.c.type: unknown type "smoke" (known: {LISTENER_TYPES})',
        "16: destinations.d.address: is required",
        "18: destinations.e.type: is required (known: console, fifo, file, "
        "memory, program, relp, stdout, tcp, udp, unix, users)",
        '20: pipes."f g": a name has 1 to 64 letters, digits, "_", "-" and "."',
        '21: pipes."f g".from[1]: no listener "d" (known: a, b, c)',
        '21: pipes."f g".from[2]: "a" is named twice',
        '22: pipes."f g".to: no destination "z" (known: d, e)',
        "23: pipes.\"f g\".match.regex: bad regular expression '(': missing ): (",
        "23: pipes.\"f g\".match.severity: unknown severity 'loud' (known: emerg, alert, crit, "
        "err, warning, notice, info, debug, panic, error, warn)",
        '24: pipes."f g".overflow: unknown value "block!" (did you mean "block"?)',
    )


def test_a_long_file_with_many_errors(tmp_path: Path) -> None:
    """Lines are found by parsing each statement once: this would take minutes if it were not so."""
    table = '[listeners.l{0}]\ntype = "udp"\nlisten = [\n  "127.0.0.1:{1}",\n]\nwrong = {0}\n'
    text = "".join(table.format(i, 1000 + i) for i in range(2000))
    names = "".join(f'  "l{i}",\n' for i in range(2000))
    pipe = f"[pipes.all]\nfrom = [\n{names}  'other',\n]\nto = 'siem'\n"
    errors = errors_of(write(tmp_path, text + pipe + "[destinations.siem]\ntype = 'stdout'\n"))
    assert len(errors) == 2000 + 1
    assert errors[0] == "6: listeners.l0.wrong: unknown key (known: message_max, timezone, " \
        "timestamp, hop, expect, silent_after, allow, rate_limit, burst, type, listen, " \
        "receive_buffer)"  # fmt: skip
    known = ", ".join(f"l{i}" for i in range(30))
    assert errors[-1] == (
        f'14003: pipes.all.from[2000]: no listener "other" (known: {known} and 1970 more)'
    )


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_more(
        tmp_path,
        f"""\
[destinations.a]
type = "file"
path = "{tmp_path}/file/{{host}}/x.log"
[destinations.b]
type = "file"
path = "{tmp_path}/new/dir/x.log"
[destinations.c]
type = "file"
base = "{tmp_path}/file"
path = "{tmp_path}/file/{{date}}"
[destinations.d]
type = "file"
path = "{tmp_path}"
[destinations.e]
type = "file"
path = "{tmp_path}/new/dir/x.log"
[destinations.f]
type = "file"
base = "{tmp_path.parent}"
path = "{tmp_path.name}"
""",
        f"3: destinations.a.path: {tmp_path}/file is not a directory",
        f"9: destinations.c.base: {tmp_path}/file is not a directory",
        f"13: destinations.d.path: {tmp_path} is a directory",
        f"20: destinations.f.path: {tmp_path} is a directory",
    )


def test_a_directory_of_somebody_else() -> None:
    user = os.geteuid()
    with TemporaryDirectory() as name:  # others can reach it, unlike what pytest makes
        directory = Path(name)
        path = write(directory, f'[relay]\nstate_dir = "{directory}/state"\n' + WHOLE)
        directory.chmod(0o555)
        if user == 0:  # who may write anywhere
            os.seteuid(65534)
        try:
            errors = errors_of(path)
        finally:
            os.seteuid(user)
            directory.chmod(0o755)
    assert errors == [f"2: relay.state_dir: {directory} is not writable for this user"]


def test_a_directory_whose_file_system_may_not_be_mounted_yet(tmp_path: Path) -> None:
    """Nothing is wrong with the configuration; `relay check` says that it will be waited for."""
    where = tmp_path / "var"
    path = write(
        tmp_path,
        f"""\
[relay]
state_dir = "{where}/lib/relay"
[destinations.file]
type = "file"
path = "{where}/log/relay/{{host}}.log"
[pipes.file]
from = "*"
to = "file"
"""
        + WHOLE,
    )
    config = load(path)
    told = [
        f"relay.state_dir: {where}/lib is not there: it is waited for, and not made",
        f"destination file: {where}/log is not there: it is waited for, and not made",
    ]
    assert warnings(config)[:2] == told
    (where / "lib").mkdir(parents=True)
    (where / "log").mkdir()
    assert not set(warnings(config)) & set(told)


def test_dead_letters_that_have_no_place(tmp_path: Path) -> None:
    long = "l" * 53
    check_more(
        tmp_path,
        f"""\
[pipes.a]
from = "*"
to = "siem"
dead_letter = "siemm"
[pipes.b]
from = "*"
to = "siem"
dead_letter = "siem"
[pipes."b.dead-letter"]
from = "*"
to = "siem"
[pipes.{long}]
from = "*"
to = "siem"
dead_letter = "siem"
[pipes.{long[1:]}]
from = "*"
to = "siem"
dead_letter = "siem"
""",
        '4: pipes.a.dead_letter: no destination "siemm" (did you mean "siem"?)',
        '8: pipes.b.dead_letter: is a pipe of its own, and there is one "b.dead-letter" already',
        f"15: pipes.{long}.dead_letter: needs a pipe whose name has no more than 52 characters",
    )


def test_what_is_wrong_with_the_time_of_messages(tmp_path: Path) -> None:
    text = """[listeners.a]
type = "udp"
listen = ["127.0.0.1:5514"]
timezone = "Europe/Atlantis"
timestamp = "recieved"
"""
    zones = '"local", "UTC", "+02:00" or a name such as "Europe/Berlin"'
    found = errors_of(write(tmp_path, text))
    assert f"4: listeners.a.timezone: expected {zones}, not 'Europe/Atlantis'" in found
    assert '5: listeners.a.timestamp: unknown value "recieved" (did you mean "received"?)' in found
