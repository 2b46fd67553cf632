from relay.core.account import Drop
from relay.core.ledger import Ledger


def test_an_account_lives_as_long_as_its_name() -> None:
    ledger = Ledger()
    pipe, listener = ledger.pipe("security", "siem"), ledger.listener("net")
    pipe.received += 3
    listener.received += 3
    assert ledger.pipe("security", "siem") is pipe
    assert ledger.listener("net") is listener
    assert list(ledger.pipes) == ["security"]
    assert list(ledger.listeners) == ["net"]


def test_losses_name_the_destination_of_now_and_counts_never_go_backwards() -> None:
    ledger = Ledger()
    account = ledger.pipe("security", "siem")
    account.drop(2, Drop.FULL)
    assert ledger.pipe("security", "archive") is account
    account.drop(1, Drop.FULL)
    assert account.dropped[Drop.FULL] == 3
    assert ledger.losses.due(0) == [
        "dropped 2 messages to destination siem: full",
        "dropped 1 message to destination archive: full",
    ]


def test_the_residual_is_what_was_offered_and_not_received() -> None:
    ledger = Ledger()
    ledger.listener("a").offered += 5
    ledger.listener("b").offered += 2
    ledger.pipe("p", "siem").received += 4
    assert ledger.residual() == 3
    ledger.pipe("q", "siem").received += 3
    assert ledger.residual() == 0


def test_what_the_kernel_dropped_is_booked_and_told() -> None:
    ledger = Ledger()
    account = ledger.listener("edge")
    ledger.kernel_dropped(account, 7)
    assert account.kernel_dropped == 7
    assert ledger.losses.due(0) == ["dropped 7 messages to listener edge: kernel"]


def test_kernel_messages_that_were_overwritten_unread_are_booked_and_told() -> None:
    ledger = Ledger()
    account = ledger.listener("kernel")
    ledger.kernel_overwrote(account, 7)
    assert account.kernel_dropped == 7
    assert ledger.losses.due(0.0) == ["dropped 7 kernel messages, buffer full"]
    ledger.kernel_overwrote(account, 1)
    assert ledger.losses.rest(5.0) == ["dropped 1 kernel message, buffer full (in 5 s)"]
