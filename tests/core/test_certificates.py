"""How long certificates are valid, told when it matters."""

import pytest

from relay.core.certificates import DAY_SECONDS, Certificates, standing
from relay.system.ports import Certificate

NOW = 1_800_000_000.0


def certificate(days: float, subject: str = "edge1", since: float = -100) -> Certificate:
    """One that expires in so many days."""
    return Certificate(
        "host.pem", subject, (), "ca", NOW + since * DAY_SECONDS, NOW + days * DAY_SECONDS
    )


@pytest.mark.parametrize(
    ("days", "since", "words"),
    [
        (30, -100, "expires in 30 days"),
        (1.5, -100, "expires in 1 day"),
        (0.5, -100, "expires in 12.0 hours"),
        (0, -100, "expired 0.0 hours ago"),
        (-3, -100, "expired 3 days ago"),
        (90, 2, "is valid only in 2 days"),
    ],
)
def test_in_words(days: float, since: float, words: str) -> None:
    assert standing(certificate(days, since=since), NOW) == words


def test_each_is_told_when_its_end_is_near_and_when_it_has_come() -> None:
    certificates = Certificates({"host.pem": [certificate(15), certificate(400, "ca")]})
    assert not list(certificates.due(NOW))
    near = NOW + 2 * DAY_SECONDS
    assert list(certificates.due(near)) == ["host.pem: certificate edge1 expires in 13 days"]
    assert not list(certificates.due(near + DAY_SECONDS))
    over = NOW + 16 * DAY_SECONDS
    assert list(certificates.due(over)) == ["host.pem: certificate edge1 expired 1 day ago"]
    assert not list(certificates.due(over + DAY_SECONDS))


def test_one_that_is_not_valid_yet_is_told() -> None:
    certificates = Certificates({"host.pem": [certificate(90, since=2)]})
    assert list(certificates.due(NOW)) == ["host.pem: certificate edge1 is valid only in 2 days"]
    assert not list(certificates.due(NOW + 3 * DAY_SECONDS))


def test_a_new_one_replaces_those_with_its_subject() -> None:
    """A bundle often has an authority twice, before and after its renewal."""
    certificates = Certificates({"ca.pem": [certificate(400), certificate(-3)]})
    assert certificates.not_after() == {("ca.pem", "edge1"): NOW + 400 * DAY_SECONDS}
    assert not list(certificates.due(NOW))
