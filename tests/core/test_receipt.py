import pytest

from relay.core.receipt import CountingReceipt


def test_a_receipt_counts_what_is_owed() -> None:
    receipt = CountingReceipt()
    assert receipt.owed == 0
    receipt.owe(3)
    receipt.owe(2)
    receipt.pay(4)
    assert receipt.owed == 1


def test_nobody_pays_more_than_is_owed() -> None:
    receipt = CountingReceipt()
    receipt.owe(1)
    with pytest.raises(AssertionError):
        receipt.pay(2)
