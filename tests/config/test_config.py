"""What a valid file means, and what `relay check` says of it."""

import re
from pathlib import Path

import pytest

from relay.config import Config, load
from relay.config.summary import summary, warnings
from relay.config.words import duration_text, size_text, value_text
from relay.core.match import Match
from relay.core.sharing import Sharing
from tests.config.files import ROOT, SHIPPED, WHOLE, write

FORWARD = """\
[listeners.a]
type = "udp"
listen = ["*:5514"]
[listeners.internal]
type = "internal"
[destinations.out]
type = "stdout"
[pipes.p]
from = "*"
to = "out"
"""


def read(directory: Path, text: str) -> Config:
    return load(write(directory, text))


def test_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    assert config.path == str(tmp_path / "relay.toml")
    assert re.fullmatch("[!-~]{1,255}", config.relay.name)
    assert config.relay.state_dir == "state"
    assert config.relay.memory_max == 256 << 20
    assert config.relay.drain_max == 5.0
    assert config.admin
    assert config.admin.listen == ("127.0.0.1:9514",)
    pipe = config.pipes["all"]
    assert (pipe.memory, pipe.messages, pipe.overflow) == (64 << 20, 500_000, "drop-newest")
    assert (pipe.match, pipe.spool, pipe.to) == ((), "auto", ("siem",))
    assert config.spool("all") == "always"
    assert (pipe.spool_size, pipe.commit_every) == (1 << 30, 0.02)
    assert config.feeding("all") == ("udp", "tcp")
    assert list(config.listeners) == ["udp", "tcp"]


def test_values(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[relay]\nname = "edge01"\nmemory_max = "1MiB"\ndrain_max = "250ms"\n'
        '[admin]\nlisten = "fd:admin"\n'
        + WHOLE
        + 'match = [{ facility = "auth" }, { not = { severity = 3 } }]\n'
        + '[pipes.one]\nfrom = "tcp"\nto = "siem"\nmatch = { regex = "a+" }\nspool = "never"\n'
        + 'memory = "64KiB"\nmessages = 1\noverflow = "block"\n',
    )
    assert config.relay.name == "edge01"
    assert config.relay.memory_max == 1 << 20
    assert config.relay.drain_max == 0.25
    assert config.admin
    assert config.admin.listen == ("fd:admin",)
    assert config.pipes["all"].match == (
        Match(facility=(4,)),
        Match.model_validate({"not": {"severity": "err"}}),
    )
    assert config.pipes["one"].match == (Match(regex="a+"),)
    assert config.feeding("one") == ("tcp",)


def test_the_admin_server_may_be_off(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE + '[admin]\nlisten = "off"\n'
                  + '[listeners.x]\ntype = "tcp"\nlisten = ["127.0.0.1:9514"]\n')  # fmt: skip
    assert config.admin is None


@pytest.mark.parametrize(
    ("host", "name"),
    [("edge01", "edge01"), ("", "localhost"), ("a b", "a-b"), ("x:", "x"), ("\udcff", "-")],
)
def test_the_name_is_the_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert read(tmp_path, WHOLE).relay.name == name


def test_equal_when_they_mean_the_same(tmp_path: Path) -> None:
    rules = "".join(f'  {{ regex = "r{i}", sender = "10.0.0.0/8" }},\n' for i in range(300))
    text = WHOLE + f"match = [\n{rules}]\n"
    config = read(tmp_path, text)
    assert config == read(tmp_path, "# other lines\n\n" + text)
    assert config == read(tmp_path, text.replace('"10.0.0.0/8"', '["10.0.0.0/8"]'))
    assert config != read(tmp_path, text.replace("r7", "r8"))
    assert config != read(tmp_path, text.replace("5514", "5515"))


def test_used_rules_stay_equal(tmp_path: Path) -> None:
    """What a rule has worked out for itself is not part of it."""
    text = WHOLE + 'match = { regex = "a+", program = "sshd" }\n'
    used, new = read(tmp_path, text), read(tmp_path, text)
    [rule] = used.pipes["all"].match
    assert rule._pattern.search(b"caat")
    assert used == new


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_valid(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(str(path))
    assert warnings(config) == []
    assert list(tmp_path.iterdir()) == []  # checking makes nothing


def test_the_examples_are_there() -> None:
    assert [path.stem for path in SHIPPED] == [
        "chain", "edge-masking", "forward-everything", "local-destinations", "local-machine",
        "noisy-fleet", "service", "several-destinations", "socket-activation", "split-by-facility",
        "tls", "two-collectors", "relay",
    ]  # fmt: skip


def test_the_default_needs_no_privilege() -> None:
    config = load(str(ROOT / "config/relay.toml"))
    endpoints = {
        (end.kind, end.address) for it in config.listeners.values() for end in it.endpoints()
    }
    assert endpoints == {
        ("udp", "127.0.0.1:5514"),
        ("udp", "[::1]:5514"),
        ("tcp", "127.0.0.1:5514"),
        ("tcp", "[::1]:5514"),
        ("unix-datagram", "state/log.sock"),
    }
    assert config.admin
    assert config.admin.listen == ("127.0.0.1:9514", "unix:state/admin/relay.sock")


def test_the_marks_in_the_default_may_be_taken_off(tmp_path: Path) -> None:
    """What stands there as a comment is right, too, and the defaults are as it says."""
    text = (ROOT / "config/relay.toml").read_text()
    opened = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
    assert opened != text
    config = read(tmp_path, opened)
    assert config.relay.name == "edge01"
    assert config.pipes["forward"].match == (Match(severity=4),)
    shipped = load(str(ROOT / "config/relay.toml"))
    for name, pipe in shipped.pipes.items():
        assert config.pipes[name] == pipe
    assert config.listeners == shipped.listeners


# -- what `relay check` says


def test_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = read(
        tmp_path,
        """\
[relay]
name = "edge01"
[listeners.net-udp]
type = "udp"
listen = ["0.0.0.0:5514", "[::]:5514"]
[listeners.net-tcp]
type = "tcp"
listen = ["0.0.0.0:5514"]
[listeners.log]
type = "unix"
path = "/run/log"
[listeners.internal]
type = "internal"
[destinations.siem]
type = "tcp"
address = "siem.example.net:6514"
[destinations.file]
type = "file"
path = "state/all.log"
[destinations.ring]
type = "memory"
size = "100KB"
[destinations.screen]
type = "stdout"
[destinations.journal]
type = "unix"
path = "/run/systemd/journal/syslog"
[destinations.wall]
type = "users"
users = ["root", "alice"]
[destinations.alert]
type = "program"
command = ["/bin/sh", "-c", "cat"]
[pipes.wall]
from = "internal"
to = "wall"
[pipes.alert]
from = "internal"
to = "alert"
[pipes.security]
from = ["net-udp", "net-tcp"]
to = "siem"
match = { facility = "auth" }
[pipes.all]
from = "*"
to = "file"
memory = "65537"
overflow = "drop-oldest"
[pipes.ring]
from = "log"
to = "ring"
match = [{ severity = "err" }, { program = "a" }]
[pipes.screen]
from = "internal"
to = "screen"
[pipes.journal]
from = "internal"
to = "journal"
""",
    )
    assert summary(config) == [
        f"relay edge01, state in {tmp_path}/state",
        "admin server: 127.0.0.1:9514",
        "listener net-udp: udp 0.0.0.0:5514, [::]:5514",
        "listener net-tcp: tcp 0.0.0.0:5514",
        "listener log: unix /run/log",
        "listener internal: internal",
        "wall: internal -> wall (users root alice) match everything, memory 64MiB, "
        "overflow drop-newest",
        "alert: internal -> alert (program /bin/sh -c cat) match everything, memory 64MiB, "
        "overflow drop-newest",
        "security: net-udp, net-tcp -> siem (tcp siem.example.net:6514) match 1 rule, "
        "memory 64MiB, overflow drop-newest, spool always 1GiB",
        "all: net-udp, net-tcp, log, internal -> file (file state/all.log) match everything, "
        "memory 65537B, overflow drop-oldest",
        "ring: log -> ring (memory 100000B) match 2 rules, memory 64MiB, overflow drop-newest",
        "screen: internal -> screen (stdout) match everything, memory 64MiB, overflow drop-newest",
        "journal: internal -> journal (unix /run/systemd/journal/syslog) match everything, "
        "memory 64MiB, overflow drop-newest",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (
            "[listeners.r]\ntype = 'relp'\nlisten = ['*:1']\n"
            "[destinations.m]\ntype = 'memory'\n[pipes.m]\nfrom = 'r'\nto = 'm'\n",
            [
                'pipe p does not keep: listener r says yes to its senders without it '
                '(spool = "always" or overflow = "block" would change that)',
                "pipe m does not keep: listener r says yes to its senders without it "
                '(spool = "always" or overflow = "block" would change that)'
            ],
        ),
        ("[listeners.b]\ntype = 'udp'\nlisten = ['*:1']\n", []),
        (
            "[listeners.k]\ntype = 'kmsg'\n",
            [
                'pipe p does not keep: listener k goes on without it '
                '(spool = "always" or overflow = "block" would change that)',
            ],
        ),
        (
            "[listeners.s]\ntype = 'unix'\npath = '/run/systemd/journal/syslog'\n"
            "credentials = 'add'\n",
            [
                "listener s: of a process that has ended the journal gives its own id, "
                'which credentials puts in place of the right one (credentials = "off")',
            ],
        ),
        ("[destinations.x]\ntype = 'stdout'\n", ["destination x is used by no pipe"]),
        ("[destinations.x]\ntype = 'program'\ncommand = ['/none/such', 'a']\n"
         "[destinations.y]\ntype = 'program'\ncommand = ['sh']\n"
         "[pipes.x]\nfrom = 'a'\nto = 'x'\n[pipes.y]\nfrom = 'a'\nto = 'y'\n",
         ["destination x: there is no program /none/such that can be executed"]),
        ("[listeners.u]\ntype = 'unix'\npath = 'log'\n"
         "[pipes.q]\nfrom = 'u'\nto = 'out'\noverflow = 'block'\n",
         ["pipe q blocks and listener u is a unix socket: it waits for room at most 1 s, "
          "then drops"]),
        ("[pipes.q]\nfrom = 'a'\nto = 'out'\nmatch = [{}, { listener = 'internal' }]\n",
         ["pipe q: match[1] matches nothing: internal does not feed this pipe"]),
        ("[destinations.self]\ntype = 'udp'\naddress = '127.0.0.1:5514'\n"
         "[pipes.q]\nfrom = 'a'\nto = 'self'\n",
         ["destination self sends to our own listener a, in a loop through pipe q"]),
        ("[destinations.self]\ntype = 'udp'\naddress = 'localhost:5514'\n"
         "[pipes.q]\nfrom = 'internal'\nto = 'self'\n",
         ["destination self sends to our own listener a"]),
        ("[destinations.self]\ntype = 'tcp'\naddress = '127.0.0.1:5514'\n"
         "[pipes.q]\nfrom = 'a'\nto = 'self'\n", []),
        ("[listeners.b]\ntype = 'unix'\npath = 'log'\n"
         "[destinations.to-a]\ntype = 'udp'\naddress = '[::1]:5514'\n"
         "[destinations.to-b]\ntype = 'unix'\npath = './log'\n"
         "[pipes.q]\nfrom = 'a'\nto = 'to-b'\n"
         "[pipes.r]\nfrom = 'b'\nto = 'to-a'\n",
         ["destination to-a sends to our own listener a, in a loop through pipe q and r",
          "destination to-b sends to our own listener b, in a loop through pipe r and q"]),
    ],
)  # fmt: skip
def test_warnings(tmp_path: Path, text: str, expected: list[str]) -> None:
    config = read(tmp_path, FORWARD + text)
    assert warnings(config) == expected
    assert (
        summary(config)[-len(expected) :] == [f"warning: {each}" for each in expected]
        or not expected
    )


def test_what_goes_nowhere_is_warned_of(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE.replace('"*"', '["udp"]'))
    assert warnings(config) == [
        "listener tcp feeds no pipe: what it receives goes nowhere",
        'no listener of type "internal": losses are told in the log only',
    ]


# -- words


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0B"), (1000, "1000B"), (1024, "1KiB"), (1536, "1536B"), (3 << 20, "3MiB"),
     (2 << 30, "2GiB"), (1 << 40, "1TiB"), ((1 << 20) + 1024, "1025KiB")],
)  # fmt: skip
def test_sizes_are_written_as_they_are_read(octets: int, text: str) -> None:
    assert size_text(octets) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "0.25s"), (5, "5s"), (90, "90s"), (120, "2m"),
                          (7200, "2h"), (86400, "1d")],
)  # fmt: skip
def test_durations_are_written_as_they_are_read(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (5, "5"), (1.5, "1.5"), ("a", '"a"'), ("ä", '"ä"'),
     ("\n\x1b", '"\\n\\u001b"'), ("x" * 100, '"' + "x" * 80 + '…"'), ([1], "a list"),
     ({}, "a table")],
)  # fmt: skip
def test_values_are_written_short(value: object, text: str) -> None:
    assert value_text(value) == text


# -- dead letters


LETTERS = """\
[destinations.refused]
type = "stdout"
[pipes.local]
from = "*"
to = "siem"
spool = "never"
memory = "1MiB"
overflow = "block"
match = { severity = "err" }
dead_letter = "refused"
"""


def test_dead_letters_have_a_pipe_of_their_own(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE + LETTERS)
    assert list(config.pipes) == ["all", "local", "local.dead-letter"]
    letters = config.pipes["local.dead-letter"]
    assert (letters.to, letters.from_, letters.match, letters.dead_letter) == (
        ("refused",), (), (), None,
    )  # fmt: skip
    assert (letters.memory, letters.overflow, letters.spool) == (1 << 20, "drop-newest", "auto")
    assert config.feeding("local.dead-letter") == ()
    assert (
        "local.dead-letter: what is refused -> refused (stdout) match everything, memory 1MiB, "
        "overflow drop-newest"
    ) in summary(config)
    assert not [text for text in warnings(config) if "letter" in text or "refused" in text]


def test_letters_for_the_destination_that_refuses_are_warned_of(tmp_path: Path) -> None:
    text = LETTERS.replace('dead_letter = "refused"', 'dead_letter = "siem"')
    assert (
        "pipe local: dead_letter is its own destination siem: what is too large for it is so "
        "again, and then lost"
    ) in warnings(read(tmp_path, WHOLE + text))


def test_letters_may_come_back_to_us(tmp_path: Path) -> None:
    text = LETTERS.replace('"stdout"', '"udp"\naddress = "127.0.0.1:5514"')
    assert (
        "destination refused sends to our own listener udp, in a loop through pipe local"
    ) in warnings(read(tmp_path, WHOLE + text))


SEVERAL = """
[listeners.net]
type = "udp"
listen = ["127.0.0.1:5514"]
[listeners.internal]
type = "internal"
[destinations.siem-a]
type = "udp"
address = "192.0.2.1:514"
[destinations.siem-b]
type = "relp"
address = "192.0.2.2:2514"
[destinations.local]
type = "memory"
[pipes.all]
from = "*"
"""


@pytest.mark.parametrize(
    ("to", "spool"),
    [
        ('["siem-a", "siem-b"]', "always"),
        ('["local", "siem-a"]', "overflow"),
        ('["local"]', "never"),
        ('"siem-b"', "always"),
    ],
)
def test_the_most_careful_of_several_destinations_says_what_auto_means(
    tmp_path: Path, to: str, spool: str
) -> None:
    assert read(tmp_path, f"{SEVERAL}to = {to}\n").spool("all") == spool


def test_several_destinations_are_summed_up(tmp_path: Path) -> None:
    text = SEVERAL + 'to = ["siem-a", "siem-b", "local"]\nreturn_after = "90s"\n'
    config = read(tmp_path, text)
    assert config.pipes["all"].sharing == Sharing("failover", 90.0, 60.0)
    assert (
        "all: net, internal -> siem-a (udp 192.0.2.1:514) | siem-b (relp 192.0.2.2:2514) | "
        "local (memory 1MiB) match everything, failover, return_after 90s, stalled_max 1m, "
        "memory 64MiB, overflow drop-newest, spool always 1GiB"
    ) in summary(config)
    assert warnings(config) == []


def test_what_means_nothing_for_one_destination_is_warned_of(tmp_path: Path) -> None:
    text = SEVERAL + 'to = "siem-a"\nstrategy = "balance"\nstalled_max = "5s"\n'
    assert warnings(read(tmp_path, text)) == [
        "destination siem-b is used by no pipe",
        "destination local is used by no pipe",
        "pipe all: strategy means nothing: it has one destination",
        "pipe all: stalled_max means nothing: it has one destination",
    ]


def test_a_loop_through_any_of_several_destinations_is_warned_of(tmp_path: Path) -> None:
    text = SEVERAL.replace("192.0.2.1:514", "127.0.0.1:5514")
    found = warnings(read(tmp_path, text + 'to = ["siem-b", "siem-a", "local"]\n'))
    assert found == ["destination siem-a sends to our own listener net, in a loop through pipe all"]
