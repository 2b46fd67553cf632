"""Messages to the real terminals of people who are said to be logged in."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import pytest
import trio
from pydantic import ValidationError

from relay.core.account import Drop
from relay.destinations.users import UsersDestination
from relay.system.local import SystemLocal
from relay.system.output import DescriptorOutput
from relay.system.ports import Login
from tests.core.parts import make_batch, make_receipt
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.pty import Pty

MESSAGES = [b"<13>message %d" % n for n in range(5)]


def lines(*messages: bytes) -> bytes:
    return b"".join(message + b"\r\n" for message in messages)


def users(*names: str, wait_max: str = "10s") -> UsersDestination:
    return UsersDestination.model_validate(
        {"type": "users", "users": list(names), "wait_max": wait_max}
    )


class People(SystemLocal):
    """This machine, with other people at it: the test says who."""

    def __init__(self) -> None:
        super().__init__(trio.CapacityLimiter(8))
        self.here: list[Login] = []
        self.unknown: OSError | None = None
        self.forbidden: set[str] = set()
        self.opened: list[str] = []

    async def logins(self) -> Sequence[Login]:
        await trio.lowlevel.checkpoint()
        if self.unknown:
            raise self.unknown
        return list(self.here)

    async def open_terminal(self, path: str) -> DescriptorOutput:
        self.opened.append(path)
        if path in self.forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return await super().open_terminal(path)


class Room:
    """Some people, each at a terminal."""

    def __init__(self, stack: ExitStack) -> None:
        self.people = People()
        self._stack = stack

    def enter(self, user: str, *, closed: bool = False) -> Pty:
        terminal = Pty()
        self._stack.callback(terminal.close)
        self.people.here.append(Login(user, terminal.path, closed))
        return terminal


@pytest.fixture
def room() -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(stack)


def rig_of(make_rig: MakeRig, room: Room) -> Rig:
    return make_rig(None, None, room.people)


async def test_named_users_see_it_on_every_terminal_and_nobody_else(
    make_rig: MakeRig, room: Room
) -> None:
    root, alice, again, bob = map(room.enter, ["root", "alice", "alice", "bob"])
    rig = rig_of(make_rig, room)
    rig.put(*MESSAGES)
    async with rig.delivering(users("root", "alice")):
        await rig.delivered()
        for terminal in (root, alice, again):
            await terminal.shows(lines(*MESSAGES))
        assert rig.account.up
    assert bob.read() == b""
    assert rig.sent() == len(MESSAGES)
    assert rig.account.missed == rig.account.unseen == 0


async def test_a_terminal_that_keeps_up_misses_nothing_however_much_comes_at_once(
    make_rig: MakeRig, room: Room
) -> None:
    """More than waits for a slow one."""
    root = room.enter("root")
    rig = rig_of(make_rig, room)
    long = [b"<13>%d " % n + b"x" * 2500 for n in range(60)]
    rig.put(*long)
    async with rig.delivering(users("root")):
        await root.shows(lines(*long))
        await rig.delivered()
    assert rig.sent() == len(long)
    assert rig.account.missed == rig.account.unseen == 0


def _shows_noon(terminal: Pty) -> bool:
    return terminal.read().endswith(b"noon\r\n")


async def test_everybody_sees_whom_it_is_from(make_rig: MakeRig, room: Room) -> None:
    root, alice = map(room.enter, ["root", "alice"])
    rig = rig_of(make_rig, room)
    rig.put(b"<13>down\x1b[31m at\nnoon")
    async with rig.delivering(users("*")):
        await rig.delivered()
        for terminal in (root, alice):
            await rig.until(partial(_shows_noon, terminal))
            empty, banner, text, end = terminal.read().split(b"\r\n")
            assert empty == end == b""
            assert banner.startswith(b"\aMessage from relay@relay.example.net at 20")
            assert banner.endswith(b"Z ...")
            assert text == b"<13>down#033[31m at#012noon"


async def test_nobody_logged_in_is_no_loss_and_holds_nothing(make_rig: MakeRig, room: Room) -> None:
    room.enter("bob")
    rig = rig_of(make_rig, room)
    rig.put(*MESSAGES)
    async with rig.delivering(users("alice")):
        await rig.delivered()
        assert rig.account.up
    assert rig.sent() == rig.account.unseen == len(MESSAGES)
    assert not any(rig.account.dropped.values())
    assert room.people.opened == []


async def test_who_logs_in_later_sees_what_comes_then(make_rig: MakeRig, room: Room) -> None:
    rig = rig_of(make_rig, room)
    async with rig.delivering(users("alice")):
        rig.put(b"<13>unseen")
        await rig.delivered()
        alice = room.enter("alice")
        rig.put(b"<13>seen")
        await rig.delivered()
        await alice.shows(lines(b"<13>seen"))
        room.people.here.clear()
        rig.put(b"<13>gone again")
        await rig.delivered()
    assert (rig.sent(), rig.account.unseen) == (3, 2)


async def test_no_terminal_is_held_open_when_there_is_nothing_to_show(
    make_rig: MakeRig, room: Room
) -> None:
    """The other side of a pty learns of its end only when everybody has closed it."""
    alice = room.enter("alice")
    rig = rig_of(make_rig, room)
    rig.put(b"<13>hello")
    async with rig.delivering(users("alice")):
        await rig.delivered()
        await alice.shows(lines(b"<13>hello"))
        alice.log_out()
        await rig.until(alice.ended)


async def test_one_stuck_terminal_delays_no_other_and_what_it_misses_is_counted(
    make_rig: MakeRig, room: Room
) -> None:
    stuck, alice = map(room.enter, ["root", "alice"])
    stuck.stop()
    rig = rig_of(make_rig, room)
    async with rig.delivering(users("root", "alice", wait_max="2s")):
        began = trio.current_time()
        for message in MESSAGES:
            rig.put(message)
            await rig.delivered()
        await alice.shows(lines(*MESSAGES))
        assert trio.current_time() - began < 1.5
        await rig.until(lambda: rig.account.missed == len(MESSAGES))
        stuck.go()
        rig.put(b"<13>behind")
        await stuck.shows(lines(b"<13>behind"))
        await rig.delivered()
    assert rig.sent() == len(MESSAGES) + 1
    assert not any(rig.account.dropped.values())


async def test_a_stuck_terminal_has_a_bound_of_its_own(make_rig: MakeRig, room: Room) -> None:
    stuck, alice = map(room.enter, ["root", "alice"])
    stuck.stop()
    messages = [b"<13>%04d %s" % (n, b"x" * 993) for n in range(200)]
    rig = rig_of(make_rig, room)
    async with rig.delivering(users("root", "alice")):
        for message in messages:
            rig.put(message)
        with trio.fail_after(10):
            while rig.channel.held().messages:
                alice.read()
                await trio.sleep(0.001)
        await alice.shows(lines(*messages))
        waiting = 200 - rig.account.missed
        assert waiting == 65536 // len(lines(messages[0]))
        stuck.go()
        with trio.fail_after(10):
            while len(stuck.read()) < len(lines(*messages[:waiting])):
                await trio.sleep(0.001)
        assert stuck.read() == lines(*messages[:waiting])
    assert rig.sent() == 200


async def test_a_line_that_was_given_up_in_the_middle_is_ended_before_the_next(
    make_rig: MakeRig, room: Room
) -> None:
    alice = room.enter("alice")
    rig = rig_of(make_rig, room)
    long = b"<13>" + b"y" * 60_000
    async with rig.delivering(users("alice", wait_max="100ms")):
        rig.put(long)
        await rig.until(lambda: rig.account.dropped[Drop.EXPIRED] == 1)
        alice.read()
        rig.put(b"<13>behind")
        await rig.delivered()
        await rig.until(lambda: alice.read().endswith(b"behind\r\n"))
    cut, behind, end = alice.read().split(b"\r\n")
    assert long.startswith(cut)
    assert (behind, end) == (b"<13>behind", b"")


async def test_two_pipes_do_not_mix_their_lines(make_rig: MakeRig, room: Room) -> None:
    alice = room.enter("alice")
    rigs = [rig_of(make_rig, room), rig_of(make_rig, room)]
    messages = [b"<13>%03d %s" % (n, b"x" * 993) for n in range(60)]
    keys = users("alice")
    for place, message in enumerate(messages):
        rigs[place % 2].put(message)
    async with rigs[0].delivering(keys), rigs[1].delivering(keys):
        with trio.fail_after(20):
            while any(rig.channel.held().messages for rig in rigs):
                alice.read()
                await trio.sleep(0.001)
    assert sorted(alice.read().split(b"\r\n")[:-1]) == messages


async def test_what_no_terminal_takes_is_dropped_and_counted(make_rig: MakeRig, room: Room) -> None:
    terminals = [room.enter("root"), room.enter("alice")]
    for terminal in terminals:
        terminal.stop()
    rig = rig_of(make_rig, room)
    rig.put(*MESSAGES)
    async with rig.delivering(users("*", wait_max="200ms")):
        await rig.delivered()
        assert rig.account.stalled
        assert rig.account.dropped[Drop.EXPIRED] == len(MESSAGES)
        assert rig.account.missed == 2 * len(MESSAGES)
        for terminal in terminals:
            terminal.go()
        rig.put(b"<13>behind")
        await rig.delivered()
        assert not rig.account.stalled
    assert rig.sent() == 1


async def test_what_a_sender_waits_for_is_held_until_a_terminal_takes_it(
    make_rig: MakeRig, room: Room, short_pauses: None
) -> None:
    alice = room.enter("alice")
    alice.stop()
    rig = rig_of(make_rig, room)
    rig.channel.bound(type(rig.channel._bounds)(1 << 20, 1 << 30, "block"))
    receipt = make_receipt()
    rig.channel.put(make_batch(b"<13>hello", receipt=receipt))
    async with rig.delivering(users("alice", wait_max="100ms")):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == "no terminal took anything for 0.1 s"
        assert rig.channel.held().messages == 1
        alice.go()
        await rig.delivered()
    assert rig.sent() == 1
    assert not any(rig.account.dropped.values())


async def test_a_closed_terminal_shows_emergencies_only(make_rig: MakeRig, room: Room) -> None:
    """As mesg(1) wishes; who may write even so is told of an emergency."""
    alice, bob = room.enter("alice", closed=True), room.enter("bob")
    rig = rig_of(make_rig, room)
    rig.put(b"<13>notice", b"<0>kernel panic", b"<9>alert")
    async with rig.delivering(users("alice", "bob")):
        await rig.delivered()
        await bob.shows(lines(b"<13>notice", b"<0>kernel panic", b"<9>alert"))
        await alice.shows(lines(b"<0>kernel panic"))
    assert rig.account.missed == 0
    assert rig.account.unseen == 0


async def test_only_closed_terminals_are_as_nobody(make_rig: MakeRig, room: Room) -> None:
    """Also for an emergency, where it is not permitted to write to them."""
    alice = room.enter("alice", closed=True)
    room.people.forbidden.add(alice.path)
    rig = rig_of(make_rig, room)
    rig.put(b"<13>notice", b"<0>kernel panic")
    async with rig.delivering(users("*")):
        await rig.delivered()
    assert (rig.sent(), rig.account.unseen) == (2, 2)


async def test_terminals_that_may_not_be_written_to_are_a_clear_state(
    make_rig: MakeRig, room: Room, short_pauses: None
) -> None:
    """Relay is not in the group tty: that is for the operator to mend, and nothing is lost."""
    alice = room.enter("alice")
    room.people.forbidden.add(alice.path)
    rig = rig_of(make_rig, room)
    rig.put(*MESSAGES)
    async with rig.delivering(users("*")):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == f"{alice.path}: permission denied"
        assert rig.channel.held().messages == len(MESSAGES)
        room.people.forbidden.clear()
        await rig.delivered()
    assert rig.sent() == len(MESSAGES)
    assert rig.account.unseen == 0


async def test_who_has_just_logged_out_holds_nothing(make_rig: MakeRig, room: Room) -> None:
    room.people.here.append(Login("alice", "/dev/pts/none"))
    room.people.here.append(Login("alice", "/dev/null"))  # no terminal
    bob = room.enter("bob")
    bob.close()
    rig = rig_of(make_rig, room)
    rig.put(*MESSAGES)
    async with rig.delivering(users("*")):
        await rig.delivered()
    assert rig.sent() == rig.account.unseen == len(MESSAGES)


async def test_not_knowing_who_is_logged_in_is_down(
    make_rig: MakeRig, room: Room, short_pauses: None
) -> None:
    room.people.unknown = FileNotFoundError(errno.ENOENT, "No such file or directory", "/run/utmp")
    rig = rig_of(make_rig, room)
    rig.put(*MESSAGES)
    async with rig.delivering(users("*")):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == (
            "who is logged in is not known: /run/utmp: no such file or directory"
        )
        room.people.unknown = None
        await rig.delivered()


@pytest.mark.parametrize("ticks", range(30))
async def test_cancelled_at_any_await_nothing_is_lost_or_counted_twice(
    ticks: int, make_rig: MakeRig, room: Room
) -> None:
    alice = room.enter("alice")
    rig = rig_of(make_rig, room)
    for message in MESSAGES:
        rig.put(message)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, users("*"))
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        nursery.cancel_scope.cancel()
    rig.check()
    async with rig.delivering(users("*")):
        await rig.delivered()
    shown = [line for line in alice.read().split(b"\r\n") if line.startswith(b"<13>")]
    assert sorted(set(shown)) == MESSAGES
    assert rig.sent() == len(MESSAGES)
    assert rig.account.unseen == rig.account.missed == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "at least 1 item"),
        ("", "at least 1 character"),
        (["*", "root"], '"\\*" is everybody'),
        (5, "valid tuple"),
        (["a\0b"], "match pattern"),
    ],
)
def test_names_are_checked(value: object, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        UsersDestination.model_validate({"type": "users", "users": value})


def test_one_name_needs_no_list() -> None:
    keys = UsersDestination.model_validate({"type": "users", "users": "root"})
    assert keys.users == ("root",)
