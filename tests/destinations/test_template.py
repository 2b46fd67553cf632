import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.batch import Batch
from relay.destinations.template import PLACEHOLDERS, PathTemplate
from tests.destinations.conftest import RECEIVED_NS

EVERY = "/var/log/remote/" + "/".join(f"{{{name}}}" for name in PLACEHOLDERS)


def paths(template: PathTemplate, *messages: bytes, sender: str = "192.0.2.1") -> list[str]:
    batch = Batch.of(messages, [sender] * len(messages), "net-udp", RECEIVED_NS)
    return template.paths([batch], "relay.example.net")


@pytest.mark.parametrize(
    ("path", "base", "expected_base", "expected_path"),
    [
        ("/var/log/remote/{host}/{program}.log", None, "/var/log/remote", "{host}/{program}.log"),
        ("/var/log/x-{host}.log", None, "/var/log", "x-{host}.log"),
        ("/{host}", None, "/", "{host}"),
        ("/messages", None, "/", "messages"),
        ("/var/log/messages", None, "/var/log", "messages"),
        ("logs/all.log", None, "logs", "all.log"),
        ("{host}.log", None, ".", "{host}.log"),
        ("./all.log", None, ".", "all.log"),
        ("/var/log//remote/./{host}//a", "/var/log", "/var/log", "remote/{host}/a"),
        ("/var/log/{host}", "/var/log/", "/var/log/", "{host}"),
        ("/var/log/{host}", "/", "/", "var/log/{host}"),
        ("{host}.log", "/var/log", "/var/log", "{host}.log"),
        ("logs/{host}.log", "logs", "logs", "{host}.log"),
    ],
)
def test_base_and_the_path_below_it(
    path: str, base: str | None, expected_base: str, expected_path: str
) -> None:
    template = PathTemplate.of(path, base)
    assert template.base == expected_base
    below = list(template.pieces)
    below[1::2] = [f"{{{name}}}" for name in below[1::2]]
    assert "".join(below) == expected_path
    assert template.fixed == (None if "{" in path else expected_path)


@pytest.mark.parametrize(
    ("path", "base", "wrong"),
    [
        ("/var/log/{hots}", None, r"unknown placeholder \{hots\} \(known: \{host\}, \{program\}"),
        ("/var/log/{}", None, r"unknown placeholder \{\}"),
        ("/var/log/{host", None, "unbalanced brace in '/var/log/{host'"),
        ("/var/log/host}", None, "unbalanced brace"),
        ("/var/log/{{host}}", None, "unbalanced brace"),
        ("/var/log/../{host}", None, 'no component may be ".."'),
        ("..", None, 'no component may be ".."'),
        ("/var/log/{host}/", None, "is a directory"),
        ("/", None, "is a directory"),
        (".", None, "names no file"),
        ("/srv/{host}", "/var/log", "'/srv/{host}' is not below base '/var/log'"),
        ("/var/logs/{host}", "/var/log", "is not below base"),
        ("/var/{host}/x", "/var/log", "is not below base"),
    ],
)
def test_wrong_paths_are_told(path: str, base: str | None, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        PathTemplate.of(path, base)


def test_every_placeholder() -> None:
    message = b"<34>1 2026-11-23T07:28:45Z mail.example.net postfix 77 - - hello"
    [path] = paths(PathTemplate.of(EVERY, None), message)
    assert path == "mail.example.net/postfix/auth/crit/192.0.2.1/net-udp/2026-11-23"


def test_headers_are_not_needed_for_the_others() -> None:
    template = PathTemplate.of("/log/{sender}/{listener}.{date}", None)
    assert paths(template, b"\xff", sender="2001:db8::1") == ["2001_db8__1/net-udp.2026-11-23"]


def test_missing_values() -> None:
    template = PathTemplate.of("/log/{host}/{program}", None)
    nothing = b"<34>1 2026-11-23T07:28:45Z - - - - - hello"
    assert paths(template, nothing) == ["192.0.2.1/-"]
    assert paths(template, nothing, sender="fw1.example.net@192.0.2.1") == ["192.0.2.1/-"]
    assert paths(template, nothing, sender="local") == ["relay.example.net/-"]


@pytest.mark.parametrize(
    ("host", "value"),
    [
        (b"../../etc/x", "__.._etc_x"),
        (b"..", "_"),
        (b".", "_"),
        (b".hidden", "_hidden"),
        (b"/etc/passwd", "_etc_passwd"),
        ("bücher".encode(), "b__cher"),
        (b"fe80::1%eth0", "fe80__1_eth0"),
        (b"x" * 200, "x" * 128),
    ],
)
def test_values_cannot_leave_their_component(host: bytes, value: str) -> None:
    message = b"<34>1 2026-11-23T07:28:45Z %s - - - - hello" % host
    assert paths(PathTemplate.of("/log/{host}/all", None), message) == [f"{value}/all"]


def test_components_fit_every_file_system() -> None:
    template = PathTemplate.of("/log/{host}-{program}-{sender}/all", None)
    message = b"<34>1 2026-11-23T07:28:45Z %s %s - - - x" % (b"h" * 255, b"p" * 250)
    [path] = paths(template, message)
    assert path == "h" * 128 + "-" + "p" * 126 + "/all"


@given(st.text(alphabet=st.sampled_from("{}host./a\n")), st.text(), st.binary())
def test_no_path_leaves_its_base(literal: str, sender: str, message: bytes) -> None:
    """Whatever is configured and whatever a stranger writes."""
    try:
        template = PathTemplate.of("/log/" + literal + "{host}{sender}..{program}", None)
    except ValueError:
        return
    [path] = paths(template, message, sender=sender)
    for component in path.split("/"):
        assert component not in ("", ".", "..")
        assert "\0" not in component
        assert len(component.encode()) <= 255
