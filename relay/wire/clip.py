"""Clip: shorten a message without leaving half a UTF-8 character at its end."""

import codecs


def clip(message: bytes, octets_max: int) -> bytes:
    """The longest prefix of at most `octets_max` octets that ends between characters.

    Where the bytes are not UTF-8 the cut is hard; never more than 3 octets below `octets_max`.
    """
    if len(message) <= octets_max:
        return message
    return message[: boundary(message, octets_max)]


def boundary(message: bytes, end: int) -> int:
    """The last place up to `end` that is not inside a UTF-8 character."""
    # A character has at most 4 octets (RFC 3629 §3), so its first is among the last 3 before a
    # place inside it.
    for start in range(end - 1, max(end - 4, -1), -1):
        if not _continues(message[start]):
            return start if _reaches_past(message[start : start + 4], end - start) else end
    return end


def _continues(octet: int) -> bool:
    return octet & 0xC0 == 0x80


def _reaches_past(octets: bytes, place: int) -> bool:
    """Whether `octets` begin with a character that has more than `place` octets."""
    size = 1 + (octets[0] >= 0xC0) + (octets[0] >= 0xE0) + (octets[0] >= 0xF0)
    if size <= place:
        return False
    try:
        # Not final: a character whose end is still to come counts as one.
        codecs.utf_8_decode(octets[:size], "strict", False)
    except UnicodeDecodeError:
        return False
    return True
