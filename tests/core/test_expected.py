"""Expected senders: silence is told once, and its end once."""

import pytest

from relay.core.expected import EXPECTED_MAX, SEARCHED_MAX, Expected

AFTER = 60.0


def expecting(*names: str) -> Expected:
    expected = Expected()
    expected.expect(names, AFTER, 0.0)
    return expected


def header(host: str, text: str = "x") -> bytes:
    return f"<13>1 2026-11-23T07:28:45Z {host} app - - - {text}".encode()


def hear(expected: Expected, now: float, *messages: bytes, sender: str = "192.0.2.9") -> None:
    expected.look(messages, [sender] * len(messages), now)


def test_silence_is_told_once_and_so_is_its_end() -> None:
    expected = expecting("192.0.2.7")
    hear(expected, 10.0, b"x", sender="192.0.2.7")
    told = {now: texts for now in range(200) if (texts := expected.told(float(now)))}
    assert told == {70: ["sender 192.0.2.7 is silent: was last heard 60 s ago"]}
    hear(expected, 250.0, b"x", sender="192.0.2.7")
    assert expected.told(250.5) == ["sender 192.0.2.7 speaks again, after 240 s"]
    assert expected.told(251.0) == []


def test_one_that_was_never_heard_is_silent_from_the_beginning() -> None:
    expected = expecting("fw1")
    assert expected.told(59.0) == []
    assert expected.told(60.0) == [
        "sender fw1 is silent: was never heard, is expected since 60 s ago"
    ]


@pytest.mark.parametrize("others", [0, SEARCHED_MAX])
def test_a_host_is_heard_by_its_header_whoever_sends_it(others: int) -> None:
    """Few are searched for in the text first; of many every header is read."""
    expected = expecting("fw1", *(f"other{number}" for number in range(others)))
    hear(expected, 50.0, header("fw2"), header("fw1"), header("x", "fw1"))
    assert not [text for text in expected.told(100.0) if "fw1" in text]


@pytest.mark.parametrize("others", [0, SEARCHED_MAX])
def test_a_name_in_the_text_or_a_part_of_one_is_no_host(others: int) -> None:
    expected = expecting("fw1", *(f"other{number}" for number in range(others)))
    hear(expected, 50.0, header("fw11"), header("a", " fw1 "), b"<13>fw1", b"fw1")
    assert [text for text in expected.told(60.0) if "fw1 " in text]


def test_a_host_that_speaks_in_every_batch_is_heard_in_time() -> None:
    """It is looked for only when it was not heard for a while."""
    expected = expecting("fw1")
    for second in range(300):
        hear(expected, float(second), header("fw1"))
        assert expected.told(second + 0.5) == []
    assert expected.names["fw1"].heard_at >= 300 - AFTER / 4 - 2


def test_a_reload_remembers_who_was_heard_and_who_is_silent() -> None:
    expected = expecting("192.0.2.7", "192.0.2.8")
    assert len(expected.told(60.0)) == 2
    expected.expect(["192.0.2.8", "192.0.2.9"], AFTER, 61.0)
    assert expected.told(120.0) == []
    assert len(expected.told(121.0)) == 1
    assert [it.silent for it in expected.names.values()] == [True, True]


def test_as_many_as_may_be_expected_are_heard() -> None:
    names = [f"host{number}" for number in range(EXPECTED_MAX)]
    expected = expecting(*names)
    hear(expected, 1.0, *(header(name) for name in names))
    assert expected.told(AFTER) == []


@pytest.mark.parametrize("name", ["192.0.2.7", "fw1.example.net"])
def test_who_has_a_certificate_is_heard_by_its_name_and_by_its_address(name: str) -> None:
    expected = expecting(name)
    hear(expected, 50.0, b"no header", sender="fw1.example.net@192.0.2.7")
    assert expected.told(100.0) == []
