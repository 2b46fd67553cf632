"""Planted bugs: mutations of the code that ships, each of which some seed must find.

A bug names the faults that bring it out, so that few seeds are needed; none is told where to look.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from relay.core import delivery, rules
from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.dead_letters import DeadLetters
from relay.core.expiry import Expiry
from relay.core.failover import Failover
from relay.core.intake import Intake
from relay.core.lease import ChannelLease
from relay.core.mask import Masking
from relay.core.numbering import Numbering
from relay.core.pipe import Pipe
from relay.core.portion import Spread
from relay.core.queue import Queue
from relay.core.receipt import Debts
from relay.core.router import Router
from relay.core.rules import Rules
from relay.core.sample import Sampling
from relay.core.share import Share
from relay.core.shed import Shedding
from relay.core.spooling import Spooling
from relay.core.upstreams import Upstreams
from relay.destinations import datagram
from relay.destinations.files import OpenFiles
from relay.destinations.outstanding import Outstanding
from relay.destinations.stream import StreamSession
from relay.destinations.transit import Transit
from relay.listeners import datagrams, streams
from relay.listeners.reader import Reader
from relay.spool.page import CrashPage, Slot
from relay.spool.store import Store
from relay.supervisor import apply
from relay.supervisor.delivering import Delivering
from relay.wire.frames import Framed
from relay.wire.relp import client
from relay.wire.relp.server import ServerSession
from tests.simulation import mutations

RESETS = ("a peer resets", "a peer dies", "a peer reads slowly")
CRASHES = ("kill -9", "a peer reads slowly", "a link is down")


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    faults: Sequence[str]
    target: object
    attribute: str
    mutate: Callable[[Any], Any]  # from what ships to what is wrong
    seed: int = 0  # where to begin: a seed that is known to find it

    @contextmanager
    def planted(self) -> Iterator[None]:
        shipped = getattr(self.target, self.attribute)
        with mock.patch.object(self.target, self.attribute, self.mutate(shipped)):
            yield


BUGS = [
    Bug(
        "a settled batch is counted twice",
        RESETS,
        Channel,
        "_settle",
        mutations.counts_delivered_twice,
    ),
    Bug(
        "drops of one reason are not booked",
        RESETS,
        PipeAccount,
        "drop",
        mutations.forgets_a_drop,
        seed=51,
    ),
    Bug(
        "a dropped notice is told", RESETS, PipeAccount, "drop", mutations.tells_of_notices, seed=51
    ),
    Bug(
        "what is sent again is not counted",
        RESETS,
        Channel,
        "_recall",
        mutations.does_not_count_again,
    ),
    Bug(
        "an echo is counted as delivered",
        RESETS,
        Channel,
        "_settle",
        mutations.counts_echoes,
        seed=10,
    ),
    Bug(
        "a recall loses the oldest batch",
        RESETS,
        Queue,
        "recall",
        mutations.loses_the_head_at_recall,
        seed=1,
    ),
    Bug(
        "a recall turns the order round",
        RESETS,
        Queue,
        "recall",
        mutations.recalls_in_wrong_order,
        seed=29,
    ),
    Bug("a batch goes in front", RESETS, Queue, "add", mutations.adds_in_front, seed=8),
    Bug(
        "the rest is not booked at the end",
        ("stop", "a peer reads nothing"),
        Delivering,
        "close",
        mutations.drops_without_end,
        seed=1,
    ),
    Bug(
        "a listener does not wait for room",
        ("a peer reads nothing",),
        Intake,
        "room",
        mutations.does_not_wait,
        seed=185,
    ),
    Bug("a filter is ignored", ("reload",), Pipe, "put", mutations.ignores_the_filter),
    Bug("only the first pipe is fed", ("reload",), Router, "put", mutations.feeds_one_pipe),
    Bug(
        "a turn loses its last message",
        ("reload",),
        Reader,
        "_put",
        mutations.loses_the_last_of_a_turn,
    ),
    Bug(
        "a turn loses a datagram",
        ("threads are slow",),
        datagrams,
        "take",
        mutations.loses_a_datagram,
    ),
    Bug(
        "kernel drops are not booked",
        ("a peer reads nothing",),
        datagrams,
        "_book",
        mutations.books_no_kernel_drops,
        seed=2,
    ),
    Bug(
        "a stop reads nothing more",
        ("stop",),
        streams,
        "_drain",
        mutations.stops_without_reading,
        seed=45,
    ),
    Bug(
        "an answer before it is secured",
        ("kill -9", "power cut"),
        Debts,
        "owe",
        mutations.answers_at_once,
        seed=26,
    ),
    Bug(
        "an answer for nothing",
        ("reload",),
        ServerSession,
        "feed",
        mutations.answers_what_is_read,
        seed=3,
    ),
    Bug(
        "a cut frame is settled",
        RESETS,
        Framed,
        "complete",
        mutations.settles_the_cut_frame,
        seed=137,
    ),
    Bug(
        "settled before it is sent",
        RESETS,
        StreamSession,
        "_settle",
        mutations.settles_before_sending,
        seed=137,
    ),
    Bug(
        "sent is taken for acknowledged",
        RESETS,
        Transit,
        "look",
        mutations.believes_it_is_acknowledged,
    ),
    Bug(
        "the tail is not sent again",
        ("a peer dies", "a peer reads slowly"),
        ChannelLease,
        "replay",
        mutations.never_replays,
        seed=10,
    ),
    Bug(
        "an epoch needs no end",
        RESETS,
        Transit,
        "read_by_peer",
        mutations.confirms_without_an_end,
        seed=2,
    ),
    Bug(
        "what a destination had in hand is not handed on",
        RESETS,
        Share,
        "close",
        mutations.keeps_what_it_had,
        seed=32,
    ),
    Bug(
        "a portion settles what another one has",
        RESETS,
        Spread,
        "settle",
        mutations.settles_from_the_front,
        seed=68,
    ),
    Bug(
        "nobody takes over from who has left",
        RESETS,
        Failover,
        "left",
        mutations.passes_nothing_on,
        seed=14,
    ),
    Bug("a delivery polls", ("reload",), ChannelLease, "lend", mutations.waits_for_no_room),
    Bug(
        "a batch is passed before its end",
        RESETS,
        Outstanding,
        "pass_to",
        mutations.passes_half_a_batch,
    ),
    Bug(
        "any answer is a yes",
        ("a peer refuses",),
        client,
        "_says_yes",
        mutations.settles_what_is_refused,
        seed=1,
    ),
    Bug(
        "a datagram without room counts",
        ("a peer reads nothing", "no room for datagrams"),
        datagram,
        "_send_run",
        mutations.takes_no_room_for_sent,
        seed=12,
    ),
    Bug(
        "a dead letter is not written",
        ("reload",),
        DeadLetters,
        "take",
        mutations.writes_no_letter,
        seed=17,
    ),
    Bug(
        "a short write counts as whole",
        ("the disk is full",),
        OpenFiles,
        "append",
        mutations.ignores_a_short_write,
        seed=2,
    ),
    Bug("a destination is given up", ("a peer dies",), delivery, "backoff", mutations.gives_up),
    Bug(
        "nobody hears that there is room",
        ("a peer reads nothing",),
        Channel,
        "wake",
        mutations.wakes_nobody,
        seed=131,
    ),
    Bug(
        "a commit does not sync",
        ("power cut", "a peer reads nothing"),
        Store,
        "commit",
        mutations.commits_without_sync,
        seed=19,
    ),
    Bug(
        "the page misses settlements",
        CRASHES,
        Channel,
        "_left",
        mutations.forgets_the_page_at_settlement,
        seed=1,
    ),
    Bug("the page is never written", CRASHES, Slot, "write", mutations.writes_no_page, seed=1),
    Bug(
        "the page is never believed",
        CRASHES,
        CrashPage,
        "believed",
        mutations.believes_no_page,
        seed=1,
    ),
    Bug(
        "the page is written as if the spool were open",
        ("kill -9", "the disk is broken"),
        CrashPage,
        "is_taken",
        mutations.takes_before_it_is_open,
    ),
    Bug(
        "a crash costs what nobody was told yes for",
        CRASHES,
        Debts,
        "above",
        mutations.forgets_who_waits,
        seed=54,
    ),
    Bug(
        "the holes of a disk are not known",
        ("kill -9", "syncs fail", "the disk is full"),
        Spooling,
        "open",
        mutations.knows_no_holes,
        seed=172,
    ),
    Bug(
        "what is not durable is taken from the disk",
        ("syncs fail", "a peer reads slowly"),
        Spooling,
        "_accept",
        mutations.takes_what_is_not_durable,
        seed=197,
    ),
    Bug(
        "numbers of the disk are used again",
        ("power cut", "a peer reads nothing"),
        Spooling,
        "_renumber",
        mutations.renumbers_nothing,
    ),
    Bug(
        "what does not reach the disk is not booked",
        ("stop", "the disk is broken", "a peer reads nothing"),
        Spooling,
        "give_up",
        mutations.gives_nothing_up,
        seed=11,
    ),
    Bug(
        "a pipe that comes back knows nothing",
        ("a pipe is removed", "the disk is broken", "threads are slow"),
        apply,
        "retire",
        mutations.begins_anew_when_it_comes_back,
        seed=61,
    ),
    Bug(
        "only the first of a batch is masked",
        ("reload",),
        Masking,
        "apply",
        mutations.masks_the_first_of_a_batch,
    ),
    Bug(
        "what is recalled is not masked",
        ("the disk is broken", *RESETS),
        Rules,
        "apply",
        mutations.recalls_what_was_not_masked,
    ),
    Bug(
        "only one secret of a message is masked",
        ("reload",),
        Masking,
        "mask",
        mutations.masks_one_secret,
        seed=1,
    ),
    Bug(
        "who is rewritten loses its sender",
        ("reload",),
        Batch,
        "with_messages",
        mutations.rewrites_without_senders,
        seed=1,
    ),
    Bug(
        "what is shed is booked as something else",
        ("a peer reads nothing",),
        rules,
        "_drop",
        mutations.books_no_shed,
        seed=5,
    ),
    Bug(
        "it is shed whatever room there is",
        ("reload",),
        Shedding,
        "keep",
        mutations.sheds_whatever_room_there_is,
        seed=5,
    ),
    Bug(
        "what is shed is not booked",
        ("a peer reads nothing",),
        rules,
        "_drop",
        mutations.forgets_what_is_shed,
        seed=5,
    ),
    Bug(
        "each batch is sampled anew",
        ("reload",),
        Sampling,
        "keep",
        mutations.samples_each_batch_anew,
        seed=14,
    ),
    Bug(
        "what has expired is booked twice",
        ("a peer reads nothing",),
        Expiry,
        "drop",
        mutations.books_the_expired_twice,
        seed=376,
    ),
    Bug(
        "numbers are used again after a crash",
        ("kill -9",),
        apply,
        "open_channel",
        mutations.numbers_again_after_a_crash,
        seed=2,
    ),
    Bug(
        "a power cut begins no epoch",
        ("power cut",),
        CrashPage,
        "renew",
        mutations.keeps_the_epoch_after_a_power_cut,
        seed=1,
    ),
    Bug(
        "a disk that opens late begins no epoch",
        ("power cut", "the disk is broken"),
        Spooling,
        "_renumber",
        mutations.keeps_the_epoch_of_a_late_disk,
        seed=349,
    ),
    Bug(
        "what rules drop has a number",
        ("reload",),
        rules,
        "_drop",
        mutations.numbers_what_is_dropped,
        seed=5,
    ),
    Bug(
        "a message bears the number of another one",
        ("reload",),
        Queue,
        "lend",
        mutations.numbers_what_is_lent,
    ),
    Bug(
        "what comes again is not told",
        RESETS,
        Numbering,
        "take",
        mutations.knows_no_duplicates,
        seed=61,
    ),
    Bug(
        "the epochs of a batch are booked in another order",
        ("power cut",),
        Upstreams,
        "look",
        mutations.books_epochs_as_they_end,
        seed=116,
    ),
]
