from relay.wire.client_hello import HELLO_OCTETS, is_client_hello
from tests.fuzz.target import pieces

WORDS = (b"\x16\x03\x01\x02\x00\x01", b"\x16\x03", b"<13>")


def run(data: bytes) -> None:
    """An answer is given after six octets at most, and more of them never change it."""
    answers = [is_client_hello(data[:end]) for end in range(1, len(data) + 1)]
    known = [answer for answer in answers if answer is not None]
    assert answers == [None] * (len(answers) - len(known)) + known
    assert len(set(known)) <= 1
    assert len(answers) - len(known) < HELLO_OCTETS
    if known and known[0]:
        assert data[0] == 0x16
        assert data[5] == 1
        assert data[1] == 3
        assert data[2] <= 4
    assert b"".join(pieces(data, b"\x03")) == data
