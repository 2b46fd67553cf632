"""Where messages go, as it stands in the configurations of Relay and rsyslog.

What is in common to all rows stands in relay.toml and rsyslog.conf; a row that needs other
destinations, other filters or another format fills in its own.
"""

from collections.abc import Sequence

FORWARD = '''type="omfwd" target="127.0.0.1" port="@sink@" protocol="tcp"
    template="raw" TCP_Framing="octet-counted"
    action.resumeRetryCount="-1"'''  # try again for ever instead of dropping
# As its documentation on queues advises for a destination that may fail: a queue of its own. The
# dead one's discards at once when it is full, as otherwise the main queue waits for it.
OWN_QUEUE = 'queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="8192"'
LIVE_QUEUE = f'{OWN_QUEUE} queue.timeoutEnqueue="600000" queue.discardSeverity="8"'
DEAD_QUEUE = f'{OWN_QUEUE} queue.timeoutEnqueue="0"'

TO_SINK = """type = "tcp"
address = "127.0.0.1:@sink@"
framing = "octet"
confirm = "sent\""""
BLOCKING = 'overflow = "block"'  # what the sink does not take, the senders keep: nothing is dropped


def relay(name: str, destination: str, pipe: str = BLOCKING) -> str:
    """A destination with these keys, and the pipe that leads to it with those beside `from`."""
    return f"""[destinations.{name}]
{destination}

[pipes.{name}]
from = ["tcp", "udp"]
to = "{name}"
spool = "never"
{pipe}
"""


def rsyslog(action: str = FORWARD, *more: str) -> str:
    """An action with these parameters.

    It has no queue of its own unless it says so: the main queue's worker sends, in its batches.
    """
    return f"action({' '.join((action, *more))})\n"


def relay_copies(count: int) -> str:
    return "\n".join(relay(f"sink{number}", TO_SINK) for number in range(count))


def absent(count: int) -> Sequence[str]:
    """Texts that are in no message.

    They begin in different ways: texts with a beginning in common are looked for by that, which
    would cost Relay a tenth.
    """
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [f"{letters[number % 26]}-absent-{number:03}" for number in range(count)]


def relay_rules(count: int) -> str:
    """So many tables of which none matches, before one that does."""
    tables = "".join(f'    {{ contains = "{text}" }},\n' for text in absent(count))
    return relay(
        "sink", TO_SINK, f'match = [\n{tables}    {{ severity = "debug" }},\n]\n{BLOCKING}'
    )


def rsyslog_rules(count: int) -> str:
    """The same as an expression, which ends at the first term that is true."""
    terms = "".join(f'$rawmsg contains "{text}"\n    or ' for text in absent(count))
    return f"if {terms}$syslogseverity <= 7 then {rsyslog()}"


def relay_turned() -> str:
    """What `relay("sink", TO_SINK)` becomes by a reload, and is again after the next.

    The pipe has other rules, which take all and are asked once a batch. Beside it are a listener, a
    pipe and a destination that are otherwise not there; nothing is sent there.
    """
    rules = f'match = [{{ listener = "tcp" }}]\nrate_limit = "100000000/s"\n{BLOCKING}'
    return f"""{relay("sink", TO_SINK, rules)}
[listeners.other]
type = "tcp"
listen = ["127.0.0.1:@other@"]

[destinations.other]
type = "memory"

[pipes.other]
from = "other"
to = "other"
"""


def relay_format(name: str) -> str:
    destination = TO_SINK.replace('"octet"', '"lf"') + f'\nformat = "{name}"'
    return relay("sink", destination)


def rsyslog_format(name: str) -> str:
    """One message a line, by a template of rsyslog.conf."""
    action = FORWARD.replace('"raw"', f'"{name}"').replace("octet-counted", "traditional")
    return rsyslog(action)
