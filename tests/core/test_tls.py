"""The tables `tls`."""

import pytest
from pydantic import ValidationError

from relay.core.tls import DestinationTls, ListenerTls

FINGERPRINT = "sha-256" + ":AB" * 32


def test_a_destination_verifies_by_default_with_the_systems_authorities() -> None:
    settings = DestinationTls().settings()
    assert (settings.side, settings.ca, settings.verify) == ("client", "system", "required")
    assert settings.names
    assert settings.minimum_version == "1.3"


def test_names_of_its_own_take_the_place_of_the_host() -> None:
    assert not DestinationTls.model_validate({"peers": "a.example.net"}).settings().names


def test_a_fingerprint_alone_takes_the_place_of_authorities() -> None:
    keys = {"fingerprints": FINGERPRINT.lower()}
    settings = DestinationTls.model_validate(keys).settings()
    assert settings.fingerprints == (FINGERPRINT,)
    assert settings.verify == "off"
    assert DestinationTls.model_validate({**keys, "ca": "ca.pem"}).settings().verify == "required"


@pytest.mark.parametrize(
    ("keys", "verify"),
    [
        ({}, "off"),
        ({"client_ca": "ca.pem"}, "required"),
        ({"client_ca": "ca.pem", "client_certificate": "optional"}, "optional"),
        ({"client_ca": "ca.pem", "client_certificate": "off"}, "off"),
    ],
)
def test_a_listener_verifies_where_it_has_authorities(keys: dict[str, str], verify: str) -> None:
    settings = ListenerTls.model_validate({"certificate": "a.pem", **keys}).settings()
    assert settings.side == "server"
    assert settings.verify == verify


@pytest.mark.parametrize(
    ("keys", "key", "reason"),
    [
        ({"key": "a.key"}, "key", "no certificate that it could belong to"),
        ({"passphrase_file": "a"}, "passphrase_file", "no certificate"),
        ({"minimum_version": "1.1"}, "minimum_version", "'1.2' or '1.3'"),
        ({"ciphers": "HIGH"}, "ciphers", 'needs minimum_version = "1.2"'),
        ({"ciphers": "nonsense", "minimum_version": "1.2"}, "ciphers", "expected ciphers"),
        ({"fingerprints": "sha-1:00"}, "fingerprints.0", 'expected "sha-256:"'),
        ({"fingerprints": FINGERPRINT, "verify": False}, "fingerprints", "verify = false"),
        ({"peers": ["a"], "verify": False}, "peers", "verify = false"),
        ({"certificate": "credential:../x"}, "certificate", "credential:NAME"),
        ({"server_name": "a b"}, "server_name", "match"),
    ],
)
def test_what_a_destination_cannot_mean_is_refused(
    keys: dict[str, object], key: str, reason: str
) -> None:
    check(DestinationTls, keys, key, reason)


@pytest.mark.parametrize(
    ("keys", "key", "reason"),
    [
        ({}, "certificate", "required"),
        ({"client_certificate": "required"}, "client_certificate", "needs client_ca"),
        ({"peers": ["a"]}, "peers", "needs client_ca"),
        ({"fingerprints": [FINGERPRINT]}, "fingerprints", "needs client_ca"),
        ({"peers": ["a"], "client_ca": "ca.pem", "client_certificate": "off"}, "peers",
         "means nothing"),
        ({"verify": False}, "verify", "not permitted"),
    ],
)  # fmt: skip
def test_what_a_listener_cannot_mean_is_refused(
    keys: dict[str, object], key: str, reason: str
) -> None:
    certificate = {"certificate": "a.pem"} if keys else {}
    check(ListenerTls, {**certificate, **keys}, key, reason)


def check(
    model: type[DestinationTls] | type[ListenerTls],
    keys: dict[str, object],
    key: str,
    reason: str,
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(keys)
    [error] = refused.value.errors()
    assert ".".join(map(str, error["loc"])) == key
    assert reason in error["msg"]
