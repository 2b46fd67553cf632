"""What the tests of both sides share: frames as they are on the wire, and ways to cut them."""

from collections.abc import Iterator

from hypothesis import strategies as st

from relay.wire.relp.frame import encode

OFFER = b"relp_version=0\nrelp_software=librelp,1.11.0\ncommands=syslog"
OPEN = encode(1, b"open", OFFER)
OPENED = b"1 rsp 57 200 OK\nrelp_version=0\nrelp_software=relay\ncommands=syslog\n"
SERVERCLOSE = b"0 serverclose 0\n"
YES = b"2 rsp 6 200 OK\n"


def pieces(data: bytes) -> Iterator[list[bytes]]:
    """Whole, octet by octet, by threes, and in two at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    yield [data[i : i + 3] for i in range(0, len(data), 3)]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]


PIECE = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [OPEN, b"2 syslog 1 a\n", b"3 syslog 3 abc\n", b"4 syslog 0\n", b"2 close 0\n", b"0 x 0\n",
         b"2 syslog 200 ", b"x" * 100, b"\n", b"2 rsp 6 200 OK\n", b"3 rsp 6 200 OK\n",
         b"2 rsp 6 500 no\n", b"1 rsp 6 200 OK\n", SERVERCLOSE, OPENED]
    ),
)  # fmt: skip
STREAM = st.lists(PIECE, max_size=12).map(b"".join)


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]
