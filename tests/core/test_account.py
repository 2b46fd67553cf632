import pytest

from relay.core.account import (
    Confirmation,
    ConnectionRefusal,
    Drop,
    Held,
    ListenerAccount,
    PipeAccount,
    Refusal,
)


def test_every_counter_starts_at_zero() -> None:
    pipe = PipeAccount("pipe")
    assert pipe.delivered == dict.fromkeys(Confirmation, 0)
    assert pipe.dropped == dict.fromkeys(Drop, 0)
    listener = ListenerAccount("net")
    assert listener.refused == dict.fromkeys(Refusal, 0)
    assert listener.connections_refused == dict.fromkeys(ConnectionRefusal, 0)
    assert set(listener.connections_failed.values()) == {0}
    listener.refresh()
    assert listener.kernel_dropped == 0


def test_the_drop_reasons_are_closed() -> None:
    assert " ".join(Drop) == (
        "full oldest expired rate shed sampled refused too-large damaged shutdown removed crash"
        " internal-error"
    )


def test_a_drop_is_counted_and_told_but_that_of_a_notice_only_counted() -> None:
    told = []
    account = PipeAccount("pipe", lambda *loss: told.append(loss))
    account.drop(3, Drop.FULL)
    account.drop(2, Drop.FULL, notice=True)
    assert account.dropped[Drop.FULL] == 5
    assert account.notices_dropped == 2
    assert told == [(account, Drop.FULL, 3)]


def test_a_pipe_without_a_channel_holds_nothing() -> None:
    account = PipeAccount("pipe")
    assert account.held() == Held()
    account.drop(1, Drop.CRASH)
    assert account.residual() == -1
    account.recovered += 1
    assert account.residual() == 0


class Holding:
    def held(self) -> Held:
        return Held(memory=4, lent=3)


@pytest.mark.parametrize(("received", "residual"), [(11, -1), (12, 0), (14, 2)])
def test_the_residual_is_what_the_book_cannot_explain(received: int, residual: int) -> None:
    account = PipeAccount("pipe", received=received, filtered=1, holder=Holding())
    account.delivered[Confirmation.SENT] += 2
    account.delivered[Confirmation.STORED] += 1
    account.drop(1, Drop.FULL)
    assert account.residual() == residual


def test_a_listener_accepts_or_refuses_what_it_received() -> None:
    account = ListenerAccount("net", received=5, accepted=2)
    account.refused[Refusal.EMPTY] += 2
    assert account.residual() == 1


def test_what_only_the_sockets_know_is_asked_for() -> None:
    account = ListenerAccount("net")
    asked: list[int] = []
    account.probes += [lambda: asked.append(1), lambda: asked.append(2)]
    account.refresh()
    assert asked == [1, 2]


def test_a_pipe_is_up_when_a_destination_is_that_its_messages_go_to() -> None:
    pipe = PipeAccount("pipe")
    pipe.configure(["a", "b"])
    a, b = pipe.health("a"), pipe.health("b")
    a.down_reason, b.up, b.active = "refused", True, False
    b.connections, a.failures = 1, 2
    assert not pipe.up
    assert pipe.down_reason == "a: refused"
    a.active, b.active = False, True
    assert pipe.up
    assert pipe.down_reason == ""
    assert (pipe.connections, pipe.failures) == (1, 2)
    a.stalled = True
    assert not pipe.stalled
    b.stalled = True
    assert pipe.stalled


def test_what_one_destination_has_counted_stays_when_it_is_no_longer_configured() -> None:
    pipe = PipeAccount("pipe")
    pipe.configure(["a"])
    assert not pipe.shared
    pipe.health("a").failures = 3
    pipe.health("a").down_reason = "refused"
    assert pipe.down_reason == "refused"
    pipe.configure(["b", "c"])
    assert (pipe.failures, pipe.down_reason, pipe.shared) == (3, "", True)
    assert not pipe.health("a").active
    pipe.configure(["a"])
    assert pipe.health("a").active
    assert pipe.shared
