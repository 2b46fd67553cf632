"""What is wrong with keys, their values and names, each in one sentence."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic_core import ErrorDetails

from relay.config import load
from relay.config.model import RelayKeys
from relay.config.words import error_text
from tests.config.files import LISTENER_TYPES, WHOLE, check, check_more, errors_of, write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[pipe.x]\n", ['1: pipe: unknown table (did you mean "pipes"?)']),
        ("[colour]\n", ["1: colour: unknown table (known: relay, admin, listeners, destinations, "
                        "pipes)"]),
        ("[relay]\nnmae = 'x'\n", ['2: relay.nmae: unknown key (did you mean "name"?)']),
        ("[admin]\ncolour = 1\n",
         ["2: admin.colour: unknown key (known: listen, tls, token_file)"]),
        ("[listeners.x]\n",
         [f"1: listeners.x.type: is required (known: {LISTENER_TYPES})"]),
        ("[listeners.x]\n\ntype = 'tpc'\n",
         ['3: listeners.x.type: unknown type "tpc" (did you mean "tcp"?)']),
        ("[listeners.x]\ntype = 'carrier'\n",
         [f'2: listeners.x.type: unknown type "carrier" (known: {LISTENER_TYPES})']),
        ("[listeners.x]\ntype = 5\n",
         [f"2: listeners.x.type: expected one of {LISTENER_TYPES}, not 5"]),
        ("[listeners.x]\ntype = 'udp'\n", ["1: listeners.x.listen: is required"]),
        ("[listeners.x]\ntype = 'udp'\nlisten = []\n",
         ["3: listeners.x.listen: must not be empty"]),
        ("[listeners.x]\ntype = 'udp'\nlisten = '127.0.0.1:1'\n",
         ['3: listeners.x.listen: expected a list, not "127.0.0.1:1"']),
        ("[listeners.x]\ntype = 'udp'\nlisten = ['*:1']\nlisen = 1\n",
         ['4: listeners.x.lisen: unknown key (did you mean "listen"?)']),
        ("[listeners.x]\ntype = 'udp'\nlisten = [\n  '*:1',\n  '*:x',\n  5,\n]\n",
         ["5: listeners.x.listen[1]: expected \"HOST:PORT\", not '*:x'",
          '6: listeners.x.listen[2]: expected "HOST:PORT" or "fd:NAME", not 5']),
        ("[listeners.x]\ntype = 'udp'\nlisten = ['*:70000']\n",
         ["3: listeners.x.listen[0]: port 70000 is not in 0-65535"]),
        ("[listeners.x]\ntype = 'internal'\nmessage_max = '1KiB'\n",
         ['3: listeners.x.message_max: must be at least 8KiB, not "1KiB"']),
        ("[listeners.x]\ntype = 'internal'\nmessage_max = 100\n",
         ["3: listeners.x.message_max: must be at least 8KiB, not 100"]),
        ("[listeners.x]\ntype = 'internal'\nmessage_max = '1GiB'\n",
         ['3: listeners.x.message_max: must be at most 16MiB, not "1GiB"']),
        ("[listeners.x]\ntype = 'internal'\nmessage_max = 'big'\n",
         ["3: listeners.x.message_max: expected a size such as \"64KiB\" or \"10MB\", not 'big'"]),
        ("[listeners.x]\ntype = 'internal'\nmessage_max = true\n",
         ['3: listeners.x.message_max: expected a size such as "64KiB" or "10MB", not True']),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nframe_max = '2GiB'\n",
         ['4: listeners.x.frame_max: must be at most 1GiB, not "2GiB"']),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nconnections_max = 0\n",
         ["4: listeners.x.connections_max: must be at least 1, not 0"]),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nconnections_max = 1.5\n",
         ["4: listeners.x.connections_max: expected a whole number, not 1.5"]),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nconnections_max = [1]\n",
         ["4: listeners.x.connections_max: expected a whole number, not a list"]),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nframing = 'octets'\n",
         ['4: listeners.x.framing: unknown value "octets" (did you mean "octet"?)']),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nframing = 'wire'\n",
         ['4: listeners.x.framing: unknown value "wire" (known: auto, octet, lf, nul)']),
        ("[listeners.x]\ntype = 'tcp'\nlisten = ['*:1']\nframing = true\n",
         ["4: listeners.x.framing: expected one of auto, octet, lf, nul, not true"]),
        ("[listeners.x]\ntype = 'unix'\npath = ''\n", ["3: listeners.x.path: must not be empty"]),
        ('[listeners.x]\ntype = "unix"\npath = "a\\u0000"\n',
         ["3: listeners.x.path: must not contain NUL"]),
        ("[listeners.x]\ntype = 'unix'\npath = 2026-11-23\n",
         ["3: listeners.x.path: expected a list, not 2026-11-23"]),
        (f"[destinations.x]\ntype = 'unix'\npath = '{'a' * 5000}'\n",
         ["3: destinations.x.path: has 5000 characters, expected no more than 4096"]),
        ("[destinations.x]\ntype = 'file'\npath = 'f'\nfsync = 'perhaps'\n",
         ['4: destinations.x.fsync: expected true or false, not "perhaps"']),
        ("[destinations.x]\ntype = 'udp'\naddress = '127.0.0.1:1'\nresolve_every = '10ms'\n",
         ['4: destinations.x.resolve_every: must be at least 1s, not "10ms"']),
        ("[destinations.x]\ntype = 'tcp'\naddress = '*:1'\n",
         ['3: destinations.x.address: "*" is no address to send to']),
        ("[destinations.x]\ntype = 'file'\npath = 'f'\nmode = 640\n",
         ['4: destinations.x.mode: expected permissions such as "0640", not 640']),
        ("[destinations.x]\ntype = 'console'\npath = '/'\n",
         ["3: destinations.x.path: / is a directory"]),
        ("[destinations.x]\ntype = 'console'\nwait_max = '1ms'\n",
         ['3: destinations.x.wait_max: must be at least 0.1s, not "1ms"']),
        ("[destinations.x]\ntype = 'fifo'\n", ["1: destinations.x.path: is required"]),
        ("[destinations.x]\ntype = 'fifo'\npath = '/etc'\nmode = '0999'\n",
         ["4: destinations.x.mode: expected permissions such as \"0640\", not '0999'"]),
        ("[destinations.x]\ntype = 'program'\n", ["1: destinations.x.command: is required"]),
        ("[destinations.x]\ntype = 'program'\ncommand = 'cat'\n",
         ['3: destinations.x.command: expected a list, not "cat"']),
        ("[destinations.x]\ntype = 'program'\ncommand = []\n",
         ["3: destinations.x.command: must not be empty"]),
        ("[destinations.x]\ntype = 'program'\ncommand = ['cat', 5, '']\n",
         ["3: destinations.x.command[1]: expected text in quotes, not 5",
          "3: destinations.x.command[2]: must not be empty"]),
        ('[destinations.x]\ntype = "program"\ncommand = ["cat", "a\\u0000"]\n',
         ["3: destinations.x.command[1]: must not contain NUL"]),
        ("[destinations.x]\ntype = 'users'\n", ["1: destinations.x.users: is required"]),
        ("[destinations.x]\ntype = 'users'\nusers = ['*', 'root']\n",
         ['3: destinations.x.users: "*" is everybody; no other name stands beside it']),
        ("[relay]\ndrain_max = '2d'\n", ['2: relay.drain_max: must be at most 1d, not "2d"']),
        ("[relay]\ndrain_max = 'soon'\n",
         ["2: relay.drain_max: expected a duration such as \"5s\" or \"250ms\", not 'soon'"]),
        ("[relay]\nmemory_max = '1KiB'\n",
         ['2: relay.memory_max: must be at least 1MiB, not "1KiB"']),
        ("[relay]\nname = 'a b'\n",
         ["2: relay.name: expected a host name of 1 to 255 printable ASCII characters, not 'a b'"]),
        ("[relay]\nname = 'edge:'\n",
         ["2: relay.name: expected a host name of 1 to 255 printable ASCII characters, "
          "not 'edge:'"]),
        ("[admin]\nlisten = 'of'\n", ["2: admin.listen: expected \"HOST:PORT\", not 'of'"]),
        ("[admin]\nlisten = []\n",
         ['2: admin.listen: expected an address ("off": no admin server)']),
        ("[admin]\nlisten = ['127.0.0.1:1', 'off']\n", ['2: admin.listen[1]: "off" stands alone']),
        ("[admin]\nlisten = 'unix:'\n", ["2: admin.listen: 'unix:' names no file"]),
        ("[admin]\nlisten = 'unix:" + "x" * 108 + "'\n",
         ["2: admin.listen: the path of a unix socket has at most 107 octets"]),
        ("[admin.tls]\ncertificate = 'a'\n", ["1: admin.tls.key: is required"]),
    ],
)  # fmt: skip
def test_wrong_keys_and_values(tmp_path: Path, text: str, expected: Sequence[str]) -> None:
    check_more(tmp_path, text, *expected)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", ["0: from: is required", "0: to: is required"]),
        ("from = []\nto = 'siem'", ["1: from: must not be empty"]),
        ("from = 5\nto = 'siem'", ["1: from: expected a list, not 5"]),
        ("from = ['udp', 5]\nto = 'siem'", ["1: from[1]: expected text in quotes, not 5"]),
        ("from = 'upd'\nto = 'siem'", ['1: from: no listener "upd" (did you mean "udp"?)']),
        ("from = ['upd', 'tpc']\nto = 'siem'",
         ['1: from[0]: no listener "upd" (did you mean "udp"?)',
          '1: from[1]: no listener "tpc" (did you mean "tcp"?)']),
        ("from = [\n  'udp',\n\n  # why\n  'edge',\n]\nto = 'siem'",
         ['5: from[1]: no listener "edge" (known: udp, tcp)']),
        ("from = ['udp', 'tcp', 'udp']\nto = 'siem'", ['1: from[2]: "udp" is named twice']),
        ("from = ['udp', '*']\nto = 'siem'",
         ['1: from: "*" is every listener; no other name stands beside it']),
        ("from = '*'\nto = 'sime'", ['2: to: no destination "sime" (did you mean "siem"?)']),
        ("from = '*'\nto = 'udp'", ['2: to: no destination "udp" (known: siem)']),
        ("from = '*'\nto = []", ["2: to: must not be empty"]),
        ("from = '*'\nto = 7", ["2: to: expected a list, not 7"]),
        ("from = '*'\nto = ['siem', 7]", ["2: to[1]: expected text in quotes, not 7"]),
        ("from = '*'\nto = ['siem', 'sime', 'siem']",
         ['2: to[1]: no destination "sime" (did you mean "siem"?)',
          '2: to[2]: "siem" is named twice']),
        ("from = '*'\nto = ['siem']\nstrategy = 'balanced'",
         ['3: strategy: unknown value "balanced" (did you mean "balance"?)']),
        ("from = '*'\nto = ['siem']\nreturn_after = '0s'",
         ['3: return_after: must be at least 1s, not "0s"']),
        ("from = '*'\nto = ['siem']\nstalled_max = 'never'",
         ["3: stalled_max: expected a duration such as \"5s\" or \"250ms\", not 'never'"]),
        ("from = '*'\nto = 'siem'\nmemory = '1KiB'",
         ['3: memory: must be at least 64KiB, not "1KiB"']),
        ("from = '*'\nto = 'siem'\nmessages = 0", ["3: messages: must be at least 1, not 0"]),
        ("from = '*'\nto = 'siem'\noverflow = 'drop'",
         ['3: overflow: unknown value "drop" (known: drop-newest, drop-oldest, block)']),
        ("from = '*'\nto = 'siem'\noverflow = 'drop-new'",
         ['3: overflow: unknown value "drop-new" (did you mean "drop-newest"?)']),
        ("from = '*'\nto = 'siem'\nspool = 'sometimes'",
         ['3: spool: unknown value "sometimes" (known: always, overflow, never, auto)']),
        ("from = '*'\nto = 'siem'\nspool_size = '1KiB'",
         ['3: spool_size: must be at least 1MiB, not "1KiB"']),
        ("from = '*'\nto = 'siem'\ncommit_every = '1h'",
         ['3: commit_every: must be at most 10s, not "1h"']),
        ("from_ = '*'\nto = 'siem'",
         ["0: from: is required", '1: from_: unknown key (did you mean "from"?)']),
    ],
)  # fmt: skip
def test_pipes(tmp_path: Path, keys: str, expected: Sequence[str]) -> None:
    shown = [error.replace(": ", ": pipes.x.", 1) for error in expected]
    numbered = [f"{int(line) + 1}: {rest}" for line, _, rest in (e.partition(": ") for e in shown)]
    check_more(tmp_path, f"[pipes.x]\n{keys}\n", *numbered)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{ facility = 'kern' , sevrity = 1 }",
         '4: match.sevrity: unknown key (did you mean "severity"?)'),
        ("[{ severity = 'loud' }]",
         "4: match[0].severity: unknown severity 'loud' (known: emerg, alert, crit, err, warning, "
         "notice, info, debug, panic, error, warn)"),
        ("{ severity = 8 }",
         "4: match.severity: unknown severity 8 (known: emerg, alert, crit, err, warning, "
         "notice, info, debug, panic, error, warn)"),
        ("[{ sender = '10.0.0.1/8' }]", "4: match[0].sender: 10.0.0.1/8 has host bits set"),
        ("[{ regex = 'a(' }]",
         "4: match[0].regex: bad regular expression 'a(': missing ): a("),
        ("[{ regex = 5 }]", "4: match[0].regex: expected a regular expression, not 5"),
        ("[{ not = { not = { hots = 'x' } } }]",
         '4: match[0].not.not.hots: unknown key (did you mean "host"?)'),
        ("[{ program = [] }]", "4: match[0].program: must not be empty"),
        ("[\n  { facility = 'kern' },\n  { program = ['a', ''] },\n]",
         "6: match[1].program[1]: must not be empty"),
        ("5", "4: match: expected a list, not 5"),
        ("'x'", '4: match: expected a table, not "x"'),
        ("['x', {}]", '4: match[0]: expected a table, not "x"'),
        ("[{ listener = 'upd' }]",
         '4: match[0].listener: no listener "upd" (did you mean "udp"?)'),
        ("{ not = { listener = ['udp', 'edge'] } }",
         '4: match.not.listener[1]: no listener "edge" (known: udp, tcp)'),
    ],
)  # fmt: skip
def test_match(tmp_path: Path, match: str, expected: str) -> None:
    where = expected.replace(": ", ": pipes.x.", 1)
    check_more(tmp_path, f"[pipes.x]\nfrom = '*'\nto = 'siem'\nmatch = {match}\n", where)


@pytest.mark.parametrize("depth", [17, 300])
def test_a_rule_nested_too_deeply(tmp_path: Path, depth: int) -> None:
    """Pydantic has a limit of its own, far above."""
    rule = "{ not = " * depth + "{}" + " }" * depth
    errors = errors_of(write(tmp_path, WHOLE + f"match = {rule}\n"))
    key = "pipes.all.match" + ".not" * 17
    assert f"13: {key}: is nested too deeply, expected no more than 16" in errors
    assert all(": is nested too deeply" in error for error in errors)
    assert all(len(error) < 400 for error in errors)
    assert len(errors) == (1 if depth == 17 else 2)


def test_an_unknown_facility_lists_those_known(tmp_path: Path) -> None:
    [error] = errors_of(
        write(tmp_path, WHOLE + "[[pipes.all.match]]\n\nfacility = ['auth', 'atuh']\n")
    )
    start = "15: pipes.all.match[0].facility[1]: unknown facility 'atuh' (known: kern, user, mail,"
    assert error.startswith(start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listeners = 5\n", ["1: listeners: expected tables [listeners.NAME], not 5"]),
        ("listeners = []\n", ["1: listeners: expected tables [listeners.NAME], not a list"]),
        ("\n[listeners]\ntype = 'udp'\n",
         ['3: listeners.type: expected a table [listeners.NAME], not "udp"']),
        ("listeners.x.type = 'internal'\npipes.x = true\n",
         ["2: pipes.x: expected a table [pipes.NAME], not true"]),
        ("listeners.x = [1]\n", ["1: listeners.x: expected a table [listeners.NAME], not a list"]),
    ],
)  # fmt: skip
def test_sections_that_are_no_tables(tmp_path: Path, text: str, expected: Sequence[str]) -> None:
    rest = "[destinations.o]\ntype = 'stdout'\n[pipes.p]\nfrom = '*'\nto = 'o'\n"
    check(tmp_path, text + rest, *expected)


def test_an_error_without_words_of_its_own_keeps_pydantics() -> None:
    error: ErrorDetails = {
        "type": "finite_number", "loc": ("drain_max",), "msg": "Input should be a finite number",
        "input": "",
    }  # fmt: skip
    assert error_text(error, RelayKeys, "") == "input should be a finite number"
    long = {**error, "msg": "x" * 1000}
    assert error_text(long, RelayKeys, "") == "x" * 400 + "…"  # type: ignore[arg-type]


def test_settings_that_are_no_tables(tmp_path: Path) -> None:
    check(tmp_path, "relay = 5\nadmin = 'off'\n" + WHOLE,
          "1: relay: expected a table, not 5",
          '2: admin: expected a table, not "off"')  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ('"a b"', '"a b"'),
        ('""', '""'),
        ('"*"', '"*"'),
        ("x" * 65, "x" * 65),
        ('"ä"', '"ä"'),
        ('"a\\nb"', "'a\\nb'"),
        ('"\\""', "'\"'"),
        ("x" * 100, "x" * 100),
        ('"' + "ü" * 100 + '"', '"' + "ü" * 80 + '…"'),
    ],
)
def test_names_that_are_none(tmp_path: Path, name: str, key: str) -> None:
    text = 'a name has 1 to 64 letters, digits, "_", "-" and "."'
    check_more(tmp_path, f"[listeners.{name}]\ntype = 'internal'\n", f"1: listeners.{key}: {text}")


@pytest.mark.parametrize("name", ["x" * 64, "a-b_c", '"a.b"', "0"])
def test_names_that_just_will_do(tmp_path: Path, name: str) -> None:
    load(write(tmp_path, WHOLE + f"[listeners.{name}]\ntype = 'internal'\n"))
