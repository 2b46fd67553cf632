from relay.core.candidate import Candidate


def test_a_candidate_is_shown_with_its_name() -> None:
    assert str(Candidate("2001:db8::1", 514, "a.example")) == "a.example [2001:db8::1]:514"
    assert str(Candidate("192.0.2.1", 514, "192.0.2.1")) == "192.0.2.1:514"


def test_its_address_resolves_to_itself() -> None:
    assert Candidate("fe80::1%2", 514, "a").address == "[fe80::1%2]:514"
    assert Candidate("192.0.2.1", 514, "a").address == "192.0.2.1:514"
