"""Plain headers: those of nearly all messages, taken apart in a single look.

What a header means is decided in `message` and `dialects`, a step at a time. Each pattern here
accepts a part of what is read there, and finds the same fields, whatever text follows
(tests/wire/test_plain.py); everything else is left to the steps. One look costs 0.4 µs, groups
included, the steps 3 to 4.

Fields have no octet that JSON would escape, and the lengths that RFC 5424 §6 allows. Whether the
date of a stamp exists is not looked at.
"""

import re

from relay.wire.notation import ZONE

_PRI = rb"(<(?:1[0-8]\d|19[01]|[1-9]\d|\d)>)"
_BSD = rb"[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d"  # the day padded with a space, as §4.1.2 has it
_OFFSET = rb"(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_RFC3339 = rb"(?:19|20)\d\d-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,6}+)?" + _OFFSET
# A year or a zone may be part of the stamp, by what follows.
_NO_HOST = rb"(?!\d{4} |(?:%s|TZ[+-]\d\d?)[ :]|[A-Z]{2,5}:)" % ZONE
_HOST = _NO_HOST + rb"(\w[\w.:@/%-]{0,254}+)(?<!:)"

PLAIN3164 = re.compile(
    rb"%s(?:(%s)|(%s)) %s ([A-Za-z_/.(][\w./@+()-]{0,47}+)(?:\[(\w[\w./-]{0,127}+)\])?: "
    % (_PRI, _BSD, _RFC3339, _HOST)
)
"""PRI, stamp as BSD writes it or as RFC 3339 does, host, program and process id."""

# RFC 5424 §6.3. A backslash in front of anything but `"`, `\` and `]` is a plain backslash.
NAME = rb'[^\x00-\x20\x7f-\xff="\]]'
ELEMENT = rb'\[(?:%s)(?: (?:%s)="(?:[^"\\\]]++|\\.)*+")*+\]'
STRICT_DATA = rb"(?:-|(?:%s)++)" % (ELEMENT % (NAME + rb"{1,32}", NAME + rb"{1,32}"))

RFC3339 = re.compile(_RFC3339)
"""The stamps that these have, beside those of BSD."""

_GRAPHIC = rb"[!#-\[\]-~]"
PLAIN5424 = re.compile(
    rb"%s1 (%s) (?!- )(%s{1,255}+)(?<!:) (%s{1,48}+) (%s{1,128}+) (%s{1,32}+) (%s) "
    % (_PRI, _RFC3339, _GRAPHIC, _GRAPHIC, _GRAPHIC, _GRAPHIC, STRICT_DATA),
    re.DOTALL,
)
"""PRI, stamp, host, APP-NAME, PROCID, MSGID and STRUCTURED-DATA; of the last four with NILVALUE."""
