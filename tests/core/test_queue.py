from relay.core.queue import Entry, Queue
from tests.core.parts import numbered, numbers


def filled(*sizes: int) -> Queue:
    queue = Queue()
    first = 0
    for size in sizes:
        queue.add(Entry(first, numbered(first, first + size, 10)))
        first += size
    return queue


def held(queue: Queue) -> list[int]:
    return numbers([entry.batch for entry in queue.held()])


def test_whole_batches_are_lent_up_to_a_number_and_a_size() -> None:
    queue = filled(2, 2, 2)
    assert numbers(queue.lend(5, 1 << 20)) == [0, 1, 2, 3]
    assert numbers(queue.lend(5, 1 << 20)) == [4, 5]
    assert (queue.lent_messages, queue.waiting_messages) == (6, 0)


def test_a_batch_is_lent_whatever_its_size_and_split_at_the_number() -> None:
    queue = filled(4, 1)
    assert numbers(queue.lend(3, 1)) == [0, 1, 2]
    assert numbers(queue.lend(3, 1)) == [3]


def test_the_oldest_leave_in_parts() -> None:
    queue = filled(3, 2)
    queue.lend(5, 1 << 20)
    assert [entry.first for entry in queue.shift(2)] == [0]
    assert queue.head == 2
    assert queue.octets == 30
    [rest, whole] = queue.shift(3)
    assert (rest.first, numbers([rest.batch])) == (2, [2])
    assert whole.first == 3
    assert queue.head is None
    assert (queue.octets, queue.messages) == (0, 0)


def test_what_is_recalled_comes_again_in_order_without_what_has_left() -> None:
    queue = filled(3, 2, 1)
    queue.lend(5, 1 << 20)
    queue.shift(1)
    assert queue.recall() == 4
    assert held(queue) == [1, 2, 3, 4, 5]
    assert queue.head == 1


def test_echoes_come_first_and_are_in_no_count() -> None:
    queue = filled(2)
    old = [Entry(-2, numbered(8, 10, 10))]
    assert queue.echo(old) == 2
    assert (queue.messages, queue.octets, queue.head) == (2, 20, 0)
    assert numbers(queue.lend(3, 1 << 20)) == [8, 9]
    assert numbers(queue.lend(3, 1 << 20)) == [0, 1]
    leaving = queue.shift(3)
    assert [entry.echo for entry in leaving] == [True, False]
    assert queue.messages == 1


def test_a_recall_leaves_the_echoes_out() -> None:
    queue = filled(2)
    queue.echo([Entry(-2, numbered(8, 10))])
    queue.lend(1, 1)
    assert queue.recall() == 0
    assert held(queue) == [0, 1]
    assert queue.waiting_messages == 2


def test_notices_are_counted_by_entry() -> None:
    queue = Queue()
    queue.add(Entry(0, numbered(0, 2, notice=True)))
    queue.lend(1, 1)
    assert queue.notices == 2, "one in hand and one waiting"
    queue.shift(1)
    assert queue.notices == 1


def test_the_oldest_that_waits_can_be_taken_out() -> None:
    queue = filled(1, 2)
    queue.lend(1, 1)
    entry = queue.drop_oldest_waiting()
    assert entry is not None
    assert entry.first == 1
    assert queue.drop_oldest_waiting() is None
    assert (queue.messages, queue.octets) == (1, 10)


def test_all_that_waits_can_be_taken_out() -> None:
    queue = filled(1, 2)
    queue.echo([Entry(-1, numbered(9, 10))])
    assert [entry.first for entry in queue.take_waiting()] == [0, 1]
    assert (queue.messages, queue.octets, queue.waiting_messages) == (0, 0, 1)
    assert queue.drop_waiting_echoes() == 1
    assert not queue.waiting


def test_batches_are_lent_with_their_numbers_where_these_are_wanted() -> None:
    queue = filled(3, 2)
    assert [batch.numbers[0] for batch in queue.lend(2, 1000, numbered=True)] == [0]
    assert [batch.numbers[0] for batch in queue.lend(10, 1000, numbered=True)] == [2, 3]
    queue.recall()
    assert [batch.numbers[0] for batch in queue.lend(10, 1000, numbered=True)] == [0, 2, 3], (
        "as before"
    )
