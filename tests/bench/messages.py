"""What the generators send: numbered RFC 5424 messages, all of one size, made before the clock."""

OCTETS = 256
DISTINCT = 4096  # 1 MiB of them, sent over and over; a run counts octets, not numbers


def message(number: int) -> bytes:
    """Priorities and seconds differ, so that no cache of the receiver has it too easy."""
    priority = 100 + number % 92  # three digits each, up to 191
    second, millisecond = divmod(number % DISTINCT, 1000)
    head = b"<%d>1 2026-11-23T07:28:%02d.%03dZ bench generator 4711 ID47 - number %010d " % (
        priority, second, millisecond, number,
    )  # fmt: skip
    return head.ljust(OCTETS, b".")


def messages() -> list[bytes]:
    return [message(number) for number in range(DISTINCT)]


def line_octets(count: int) -> int:
    """So many messages, each ended by LF."""
    return count * (OCTETS + 1)


def counted_octets(count: int) -> int:
    """So many messages, octet counted (RFC 6587 §3.4.1)."""
    return count * (len(b"%d " % OCTETS) + OCTETS)
