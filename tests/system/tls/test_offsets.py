"""How far plaintext has come, by how far ciphertext has."""

from relay.system.tls.offsets import ENDS_MAX, Offsets


def test_a_record_counts_as_a_whole() -> None:
    offsets = Offsets()
    offsets.add(100, 122)
    offsets.add(50, 194)
    assert (offsets.written, offsets.taken, offsets.acknowledged) == (150, 0, 0)
    offsets.take(193)
    assert offsets.taken == 100
    offsets.take(194)
    assert offsets.taken == 150
    offsets.acknowledge(121)
    assert offsets.acknowledged == 0
    offsets.acknowledge(122)
    assert offsets.acknowledged == 100
    offsets.acknowledge(500)
    assert offsets.acknowledged == 150


def test_whoever_never_asks_holds_no_more_and_is_never_told_too_much() -> None:
    offsets = Offsets()
    for number in range(1, 10 * ENDS_MAX + 1):
        offsets.add(1, number * 23)
        offsets.take(number * 23)
    assert len(offsets._under_way) <= ENDS_MAX
    for number in range(1, 10 * ENDS_MAX + 1, 7):
        offsets.acknowledge(number * 23)
        assert offsets.acknowledged <= number
    offsets.acknowledge(10 * ENDS_MAX * 23)
    assert offsets.acknowledged == 10 * ENDS_MAX
