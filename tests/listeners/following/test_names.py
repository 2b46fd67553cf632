"""What a rotated file's name says."""

import pytest

from relay.listeners.following.names import origin


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app.log", ("app.log", False, False)),
        ("app.log.1", ("app.log", True, False)),
        ("app.log.12.gz", ("app.log", True, True)),
        ("app.log-20261123", ("app.log", True, False)),
        ("app.log-20261123-14.xz", ("app.log", True, True)),
        ("app.log.2026-11-23", ("app.log", True, False)),
        ("app.log-1795864778", ("app.log", True, False)),
        ("app-20261123.log", ("app.log", True, False)),
        ("app.1.log", ("app.log", True, False)),
        ("worker-1.log", ("worker-1.log", False, False)),
        ("app.log.gz", ("app.log", True, True)),
        ("syslog.1", ("syslog", True, False)),
        (".gz", (".gz", False, False)),
        ("app.log.old", ("app.log.old", False, False)),
    ],
)
def test_origin(name: str, expected: tuple[str, bool, bool]) -> None:
    assert tuple(origin(name)) == expected
