"""Messages whose headers are plain, or nearly: what the short way must tell apart."""

from hypothesis import strategies as st

BSD = st.sampled_from([b"Nov 23 07:28:45", b"Nov  3 23:59:60", b"Dec 31 00:00:00"])
RFC3339 = st.sampled_from(
    [b"2026-11-23T07:28:45Z", b"2026-11-23T07:28:45.120Z", b"2026-11-23T07:28:45.000100+05:30",
     b"1999-12-31T23:59:59.9-00:30"]
)  # fmt: skip
ODD_STAMPS = st.sampled_from(
    [b"Nov 03 07:28:45", b"Nov 31 07:28:45", b"Foo 23 07:28:45", b"Nov 23 24:00:00",
     b"Feb 29 01:00:00", b"Nov 23 07:28:45.5", b"2026-02-29T07:28:45Z", b"2026-11-23T07:28:60Z",
     b"2026-11-23T07:28:45", b"2026-11-23T07:28:45.1234567Z", b"2026-11-23T07:28:45+0100",
     b"2026-11-23T25:28:45Z", b"-", b"0001-01-01T00:00:00Z", b"May 23 07:28:45", b"May 24 07:28:45"]
)  # fmt: skip
PRIS = st.integers(0, 191).map(lambda value: b"<%d>" % value)
ODD_PRIS = st.sampled_from([b"<192>", b"<013>", b"<13> ", b"", b"<>", b"<13"])
HOSTS = st.sampled_from([b"fw01", b"10.1.2.3", b"FW01", b"2001:db8::1", b"h_1", b"fe80::1%eth0"])
ODD_HOSTS = st.sampled_from(
    [b"UTC", b"EST:", b"NAS:x", b"2026", b"2026:", b"TZ-6", b"fe80::", b"h:", b"-", b"%h", b":h",
     b"h" * 255, b"h" * 256, b"h\xc3\xa4", b'h"', b"h\\", b"stdout", b"h :", b"", b" h"]
)  # fmt: skip
TAGS = st.sampled_from([b"su", b"sshd[12345]", b"a/b.service[7]", b"(systemd)[1]", b"p" * 48])
ODD_TAGS = st.sampled_from(
    [b"-", b"su[-]", b"su[]", b"su[a:b]", b"123", b"123[4]", b"%ASA-1-1", b"*%A", b"a,b", b'a"',
     b"a=", b"p" * 49, b"p[%b]" % (b"7" * 129), b"err tmm[1]", b"00005e005309,UAP-1",
     b"a[1] b", b"F", b""]
)  # fmt: skip
COLONS = st.just(b": ")
ODD_COLONS = st.sampled_from([b":", b" ", b" : ", b""])
NAMES = st.sampled_from([b"-", b"app", b"4711", b"a:"])
ODD_NAMES = st.sampled_from(
    [b'a"b', b"a\\", b"n" * 33, b"n" * 49, b"n" * 129, b"\xc3\xa4", b"", b"["]
)
DATA = st.sampled_from([b"-", b"[a]", b'[a b="-" b="c"][d@1 e="\\"\\]"]', b'[a b="\xff\n"]'])
ODD_DATA = st.sampled_from([b"", b"--", b'[a b="c]', b"[%b]" % (b"i" * 33), b"[a][b"])
TEXTS = st.sampled_from(
    [b"text", b"a: b", b"%%01INFO: x", b"%ASA-1: x", b"h p: x", b'"q" \\', b"\xff\xe2\x82\xac",
     b"\0\t\n", b"", b" ", b"\xef\xbb\xbf", b"\xef\xbb\xbfx", b"- x", b"[a] x", b"x" * 300]
)  # fmt: skip


def mostly(
    usual: st.SearchStrategy[bytes], *odd: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    return st.integers(0, 9).flatmap(lambda n: st.one_of(*odd) if n == 0 else usual)


STAMPS = mostly(BSD | RFC3339, ODD_STAMPS)
RFC3164 = st.tuples(
    mostly(PRIS, ODD_PRIS), STAMPS, mostly(HOSTS, ODD_HOSTS), mostly(TAGS, ODD_TAGS),
    mostly(COLONS, ODD_COLONS), TEXTS,
).map(lambda parts: b"%b%b %b %b%b%b" % parts)  # fmt: skip
_NAME = mostly(NAMES, ODD_NAMES)
RFC5424 = st.tuples(
    mostly(PRIS, ODD_PRIS), mostly(RFC3339, BSD, ODD_STAMPS), mostly(HOSTS, ODD_HOSTS),
    _NAME, _NAME, _NAME, mostly(DATA, ODD_DATA), mostly(st.just(b" "), st.just(b"")), TEXTS,
).map(lambda parts: b"%b1 %b %b %b %b %b %b%b%b" % parts)  # fmt: skip
MESSAGES = RFC3164 | RFC5424
