import pytest

from relay.wire.octets import has_any


@pytest.mark.parametrize("length", [0, 1, 100, 4095, 4096, 10_000])
@pytest.mark.parametrize("octets", [b"", b"\x00", b'\x00"\xff'])
def test_an_octet_is_found_wherever_it_is(length: int, octets: bytes) -> None:
    text = b"a" * length
    assert not has_any(text, octets)
    for octet in octets:
        each = bytes([octet])
        assert has_any(each + text, octets)
        assert has_any(text + each, octets)
        assert has_any(text[: length // 2] + each + text[length // 2 :], octets)
