"""Looking for a few octets in a long text."""

# From here on a search for each octet takes less than the table: at 4 KiB half, and less than that
# at once. It is memchr(3), 4 ns for 256 octets, where `translate` takes 190 for all of them.
_LONG_OCTETS = 4096


def has_any(text: bytes, octets: bytes) -> bool:
    """Whether one of these is in the text.

    Of 31 octets 0.11 µs for each 256 of a long text, 0.19 of a short one (CPython 3.11).
    """
    if len(text) < _LONG_OCTETS:
        return len(text.translate(None, octets)) != len(text)
    return any(octet in text for octet in octets)
