"""What has become of the messages of a spread batch is passed on in order."""

from itertools import permutations

import pytest

from relay.core.account import Confirmation, Drop
from relay.core.portion import Portion, Spread
from tests.core.parts import check, make_channel, numbered, numbers


@pytest.mark.parametrize("order", [*permutations(range(4))])
async def test_in_whatever_order_it_is_known_it_is_settled_in_order(order: tuple[int, ...]) -> None:
    channel = make_channel()
    channel.put(numbered(0, 10))
    what = [range(3), [3, 5, 7], range(8, 10), [4, 6]]
    with channel.lease() as lease:
        [batch] = await lease.lend()
        spread = Spread.of(batch)
        known: set[int] = set()
        for each in order:
            if each == 3:
                spread.refuse(what[each], Drop.REFUSED, "too odd", "a")
            else:
                level = Confirmation.ACKED if each else Confirmation.SENT
                spread.settle(what[each], level)
            known |= {*what[each]}
            whole = spread.pass_on(lease)
            gone = next((n for n in range(10) if n not in known), 10)
            assert (spread.gone, lease.lent, whole) == (gone, 10 - gone, gone == 10)
            check(channel)
    account = channel.account
    assert account.delivered[Confirmation.SENT] == 3
    assert account.delivered[Confirmation.ACKED] == 5
    assert account.dropped[Drop.REFUSED] == 2


def test_a_part_of_a_portion_knows_its_places() -> None:
    portion = Portion(numbered(0, 4), Spread.of(numbered(0, 9)), [1, 3, 5, 8], [7])
    part = portion.part(1, 3)
    assert (numbers([part.batch]), [*part.places], part.slots) == ([1, 2], [3, 5], [7])
    assert not part.echo
    assert Portion(numbered(0, 4), None, range(4), ()).echo
