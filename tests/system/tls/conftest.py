import pytest

from tests.system.tls.parts import Certificates, Pair


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["1.2", "1.3"])
def pair(certificates: Certificates, request: pytest.FixtureRequest) -> Pair:
    """Connected, with certificates on both sides, in each version of TLS."""
    pair = Pair.of(
        certificates.client_settings(certificate=certificates.client, minimum_version="1.2"),
        certificates.mutual(minimum_version="1.2"),
        request.param,
    )
    pair.shake_hands()
    assert pair.server.version == f"TLSv{request.param}"
    pair.settle()
    return pair
