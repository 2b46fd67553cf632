"""The targets. Importing this imports what they fuzz: see `engine.instrumented`."""

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    admission,
    client_hello,
    configuration,
    cursor,
    escape,
    export,
    formats,
    framing,
    header,
    hop,
    identity,
    kmsg,
    lines,
    normalise,
    recovery,
    relp_client,
    relp_server,
    rewrite,
    segment,
    template,
)

TARGETS = {
    module.__name__.rsplit(".", 1)[1]: Target(
        module.__name__.rsplit(".", 1)[1], module.run, module.WORDS
    )
    for module in (
        admission, client_hello, configuration, cursor, escape, export, formats, framing, header,
        hop, identity, kmsg, lines, normalise, recovery, relp_client, relp_server, rewrite, segment,
        template,
    )
}  # fmt: skip
