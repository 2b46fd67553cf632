"""Which stage of a message's way a sample of the stack belongs to."""

from collections.abc import Mapping

# The first that fits the innermost frame that any of them fits: what a stage calls is the stage's.
STAGES: Mapping[str, tuple[str, ...]] = {
    "receive": ("relay/system/stream.py:receive", "relay/system/datagram.py", "recvmmsg.py",
                "relay/system/tls/connection.py:receive"),
    "send": ("relay/system/stream.py:send", "relay/system/tls/connection.py:send"),
    "cryptography": ("relay/system/tls/",),
    "frame in": ("relay/wire/framing.py", "relay/wire/counting.py", "relay/wire/relp/server.py",
                 "relay/wire/relp/frame.py", "relay/core/streams.py"),
    "normalise": ("relay/wire/normalise.py",),
    "frame out": ("relay/wire/frames.py", "relay/wire/relp/client.py"),
    "convert": (
        "relay/wire/formats.py",
        "relay/wire/fronts.py",
        "relay/wire/ends.py",
        "relay/wire/json_line.py",
    ),
    "match": (
        "relay/core/match.py",
        "relay/core/tables.py",
        "relay/core/joined.py",
        "relay/core/rules.py",
    ),
    "spool": ("relay/spool/", "relay/system/directory.py", "relay/core/spooling.py"),
    "crash page": ("relay/spool/page.py", "relay/system/page_file.py"),
    "channel and books": ("relay/core/",),
    "the listener's turn": ("relay/listeners/", "relay/system/readyset.py"),
    "the destination's session": ("relay/destinations/", "relay/system/stream.py"),
    "Trio": ("trio/", "outcome/"),
}  # fmt: skip
_NARROW_FIRST = ("crash page", *STAGES)
# Threads that wait for work, for the kernel's news or for the interpreter: a sampler takes some of
# them for busy. What looking for news costs itself is left out with that: 1 % where all is busy.
_WAITING = (
    "trio/_core/_thread_cache.py:_work",
    "trio/_core/_io_epoll.py:get_events",
    "threading.py:wait",
)
OTHER = "all else"


def stage_of(stack: str) -> str | None:
    """The stage of one stack of py-spy's raw format, outermost frame first; None: it waits.

    A frame is `name (file:line)`, where the name may be qualified by its class.
    """
    frames = [_place(frame) for frame in stack.split(";")]
    if frames[-1].endswith(_WAITING):
        return None
    for place in reversed(frames):
        for stage in _NARROW_FIRST:
            if any(part in place for part in STAGES[stage]):
                return stage
    return OTHER


def _place(frame: str) -> str:
    """`FILE:FUNCTION` of one frame."""
    name, _, rest = frame.rpartition(" (")
    file = rest.rpartition(":")[0] or rest.rstrip(")")
    return f"{file}:{name.rpartition('.')[2]}"
