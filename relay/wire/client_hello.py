"""Whether a peer begins TLS: the first octets of a connection.

    octet   TLSPlaintext (RFC 8446 section 5.1; RFC 5246 section 6.2.1)
    0       type: 22, a handshake
    1, 2    version: 3.0 (SSL 3.0) to 3.4
    3, 4    length: at most 2**14
    5       type of the handshake message: 1, a ClientHello (RFC 8446 section 4)

Any octets may be a message, but no known sender begins one with the control characters SYN and ETX.
"""

import re

_HELLO = re.compile(rb"\x16(?:\x03(?:[\x00-\x04](?:[\x00-\x40](?:.(?:\x01)?)?)?)?)?", re.DOTALL)
HELLO_OCTETS = 6


def is_client_hello(data: bytes) -> bool | None:
    """Whether a connection that begins with `data` begins TLS; None: more is needed to tell."""
    if _HELLO.fullmatch(data[:HELLO_OCTETS]) is None:
        return False
    return True if len(data) >= HELLO_OCTETS else None
