import pytest

from relay.core.receipt import Debts, Receipt


class Noted:
    """A receipt and what its listener has heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.receipt = Receipt(lambda: self.heard.append("paid"),
                               lambda: self.heard.append("broken"))  # fmt: skip


def test_the_sender_is_told_yes_once_nobody_owes_any_more() -> None:
    noted = Noted()
    noted.receipt.owe()
    noted.receipt.owe()
    noted.receipt.pay()  # the put has returned
    noted.receipt.pay()
    assert noted.heard == []
    noted.receipt.pay()
    assert noted.heard == ["paid"]


def test_what_nobody_has_to_secure_is_answered_when_the_put_returns() -> None:
    noted = Noted()
    noted.receipt.pay()
    assert noted.heard == ["paid"]


def test_a_pipe_that_ends_breaks_the_receipt_once_and_for_all() -> None:
    noted = Noted()
    noted.receipt.owe()
    noted.receipt.owe()
    noted.receipt.abandon()
    noted.receipt.abandon()
    noted.receipt.pay()
    noted.receipt.pay()
    assert noted.heard == ["broken"]


def test_nobody_pays_more_than_is_owed_or_owes_what_is_paid() -> None:
    receipt = Noted().receipt
    receipt.pay()
    with pytest.raises(AssertionError):
        receipt.pay()
    with pytest.raises(AssertionError):
        receipt.owe()


def test_a_channel_pays_its_debts_in_the_order_of_its_numbers() -> None:
    first, second = Noted(), Noted()
    debts = Debts()
    debts.owe(0, 10, first.receipt)
    debts.owe(15, 20, second.receipt)
    for noted in (first, second):
        noted.receipt.pay()
    assert [debts.above(number) for number in (0, 4, 10)] == [15, 11, 5]
    debts.secured(9)
    assert (first.heard, second.heard) == ([], [])
    debts.secured(19)
    assert (first.heard, second.heard) == (["paid"], [])
    debts.renumber(100)
    debts.secured(119)
    assert second.heard == []
    assert debts
    assert debts.above(115) == 5
    debts.secured(120)
    assert debts.above(120) == 0
    assert second.heard == ["paid"]
    assert not debts


def test_a_channel_that_ends_abandons_what_it_owes() -> None:
    noted = Noted()
    debts = Debts()
    debts.owe(0, 10, noted.receipt)
    debts.abandon()
    assert noted.heard == ["broken"]
    assert not debts
