"""Framing in: one connection's bytes into messages (RFC 6587 §3.4, RFC 5425 §4.3).

A stream is a row of frames of two kinds. A counted frame is `LEN SP CONTENT` (octet counting,
RFC 6587 §3.4.1); one LF, CRLF or NUL that ends its content is framing too, which the sender
counted along (OpenBSD's syslogd does). A line is text up to a terminator (RFC 6587 §3.4.2); one
CR before it belongs to it.

    framing   counted frames                       lines
    auto      no leading zero, SP, then `<`        end with LF or NUL
    octet     1 to 10 digits, SP                   what is no count: end with LF
    lf        none                                 end with LF
    nul       none                                 end with NUL; a CR is text

A count above `frame_max` is not believed and begins a line: no text is lost to a wrong count, and
sync never for good. What comes out depends on the bytes alone, not on how the stream was cut,
because a frame gives its message, and is counted, when it ends.
"""

import re
from dataclasses import dataclass
from typing import Literal

from relay.wire import counting
from relay.wire.clip import boundary, clip
from relay.wire.split import lines_fit, split_lines

Framing = Literal["auto", "octet", "lf", "nul"]

HOLD_EXTRA = 3  # octets held beyond message_max: clip() looks at them, and a CRLF fits

_TERMINATORS = {"auto": (b"\n", b"\0"), "octet": (b"\n",), "lf": (b"\n",), "nul": (b"\0",)}


@dataclass(slots=True)
class FramingCounts:
    """What the framers of one listener have seen; `octet + line + nul` is what they gave."""

    octet: int = 0
    line: int = 0  # ended by LF, by CRLF or with the stream
    nul: int = 0
    empty: int = 0  # frames without text: no message
    truncated: int = 0
    truncated_octets: int = 0
    incomplete: int = 0  # counted frames that ended with the stream: no message
    incomplete_octets: int = 0
    skipped_octets: int = 0  # those of truncated_octets that cut() gave up


class Framer:
    """Takes the bytes of one connection and gives its messages.

    Invariant: while a frame is open (`_kind`), `_head` is empty; and `buffered` is at most
    `message_max + HOLD_EXTRA`.
    """

    __slots__ = (  # see `SocketConnection`
        "_counting", "_counts", "_frame_max", "_framing", "_given", "_head", "_held", "_kind",
        "_last", "_left", "_line_end", "_message_max", "_passed", "_terminators", "unfinished",
    )  # fmt: skip

    def __init__(
        self, framing: Framing, message_max: int, frame_max: int, counts: FramingCounts
    ) -> None:
        assert message_max >= 16, "the beginning of a frame must fit, a count included"
        self._framing = framing
        self._message_max = message_max
        self._frame_max = frame_max
        self._counts = counts
        self._terminators = _TERMINATORS[framing]
        self._line_end = re.compile(b"[" + b"".join(self._terminators) + b"]")
        self._counting: counting.Counting | None = None
        if framing == "auto":
            self._counting = counting.guessed_counting(frame_max, min(message_max, frame_max))
        elif framing == "octet":
            self._counting = counting.forced_counting(min(message_max, frame_max))
        self._head = b""  # what may become a count
        self._kind: Literal["", "octet", "line"] = ""
        self._left = 0  # octets of a counted frame that are still to come
        self._held = bytearray()  # the beginning of the frame, as much of it as may be needed
        self._passed = 0  # octets of the frame that are neither held nor given
        self._last = b""  # the last two octets of the frame
        self._given = False  # cut() has given the message
        self.unfinished = False  # a frame has begun and has not ended, maybe nothing of it is held

    @property
    def buffered(self) -> int:
        """Octets held in memory."""
        return len(self._head) + len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes, without framing; an empty one is only counted."""
        if self._is_one_line(data):
            self._counts.line += 1
            return [data[:-1]]
        messages: list[bytes] = []
        data, self._head = self._head + data, b""
        pos = self._go_on(data, 0, messages) if self._kind else 0
        # Equal counts and lines only once: these runs look at all that is left.
        pos = self._counted_run(data, pos, messages, counting.equal_run)
        pos = self._counted_run(data, pos, messages)
        if pos < len(data):
            pos = self._line_run(data, pos, messages)
        while pos < len(data):
            pos = self._begin(data, pos)
            pos = self._go_on(data, pos, messages)
            pos = self._counted_run(data, pos, messages)
        self.unfinished = bool(self._kind or self._head)
        return messages

    def close(self) -> list[bytes]:
        """What the end of the stream completes; to be called once.

        A line without terminator is a message; an unfinished counted frame is incomplete.
        """
        messages: list[bytes] = []
        if self._head:
            self._open("line")
            self._hold(self._head, 0, len(self._head))
            self._head = b""
        if self._kind == "octet" and not self._given:
            self._counts.incomplete += 1
            self._counts.incomplete_octets += len(self._held) + self._passed
            self._open("")
        elif self._kind:
            self._finish(self._terminators[0], messages)
        self.unfinished = False
        return messages

    def cut(self) -> list[bytes]:
        """The unfinished frame's text so far, as a truncated message; its rest will be skipped.

        For a listener whose buffers are full. While there is no text yet, nothing is cut.
        """
        held = bytes(self._held)
        end = len(held) if self._passed else len(held) - self._ending()
        text = held[: boundary(held, min(end, self._message_max))]
        if not text:
            return []
        self._count_message(self._terminators[0])
        self._counts.truncated += 1
        self._given = True
        self._passed += len(held) - len(text)
        self._held = bytearray()
        return [text]

    def _is_one_line(self, data: bytes) -> bool:
        """Whether this is one whole line that needs no care: what a trickling sender sends.

        About 1 µs in all, where the runs below take 3 to 4 for a single message.
        """
        return (
            not self.unfinished
            and data[:1] == b"<"
            and data.find(b"\n") == len(data) - 1 <= self._message_max
            and data[-2:-1] != b"\r"
            and (self._framing == "lf" or (self._framing == "auto" and b"\0" not in data))
        )

    # Whole frames, many at a time. Measured with 256-octet messages in chunks of 64 KiB, in µs a
    # message: lines 0.19 in auto, 0.14 in lf and nul, 0.61 with CRLF; counted frames 0.42 when
    # their counts differ, 0.15 when they are equal. One frame at a time (below) costs 3.1.

    def _counted_run(
        self, data: bytes, pos: int, messages: list[bytes], run: counting.Run = counting.known_run
    ) -> int:
        """Takes whole counted frames as far as `run` does; returns where it stopped."""
        if self._counting is None or pos == len(data):
            return pos
        contents, end = run(data, pos, self._counting)
        if end == pos:
            return pos
        if data.find(b"\n", pos, end) >= 0 or data.find(b"\0", pos, end) >= 0:
            contents = [content[: len(content) - counting.ending(content)] for content in contents]
        self._counts.octet += self._give(contents, messages)
        return end

    def _line_run(self, data: bytes, pos: int, messages: list[bytes]) -> int:
        """Takes all whole lines, or none if one may be a counted frame or is too long."""
        end = 1 + max([data.rfind(terminator, pos) for terminator in self._terminators])
        if end <= pos:
            return pos
        if self._framing == "nul":
            lines = data[pos:end].split(b"\0")[:-1]
            if max(map(len, lines)) > self._message_max:
                return pos
            self._counts.nul += self._give(lines, messages)
            return end
        text, start, nul = data, pos, 0
        if data.find(b"\r", pos) >= 0 or (self._framing == "auto" and data.find(b"\0", pos) >= 0):
            text, nul = self._plain_lines(data[pos:end])
            start = 0
        if not lines_fit(text, start, end if text is data else len(text), self._message_max):
            return pos
        lines = split_lines(text, start)
        if self._counting and counting.any_count(lines, self._counting):
            return pos
        given = self._give(lines, messages)
        self._counts.nul += nul
        self._counts.line += given - nul
        return end

    def _plain_lines(self, text: bytes) -> tuple[bytes, int]:
        """The same lines, each ended by a single LF; and how many of those with text by NUL."""
        text = text.replace(b"\r\n", b"\n")
        if self._framing != "auto" or b"\0" not in text:
            return text, 0
        text = text.replace(b"\r\0", b"\0")
        return text.replace(b"\0", b"\n"), _nul_lines(text)

    def _give(self, found: list[bytes], messages: list[bytes]) -> int:
        """Gives those that have text; returns how many."""
        given = found if all(found) else list(filter(None, found))
        self._counts.empty += len(found) - len(given)
        messages.extend(given)
        return len(given)

    # One frame, in as many pieces as it comes.

    def _open(self, kind: Literal["", "octet", "line"], left: int = 0) -> None:
        self._kind = kind
        self._left = left
        self._held = bytearray()
        self._passed = 0
        self._last = b""
        self._given = False

    def _begin(self, data: bytes, pos: int) -> int:
        """Decides what begins at `pos`; returns where its content does."""
        if self._counting:
            match = self._counting.pattern.match(data, pos)
            if match and int(match[1]) <= self._frame_max:
                self._open("octet", int(match[1]))
                return match.end()
            if self._counting.partial.fullmatch(data, pos):
                self._head = data[pos:]
                return len(data)
        self._open("line")
        return pos

    def _go_on(self, data: bytes, pos: int, messages: list[bytes]) -> int:
        """Takes what belongs to the open frame, if there is one; returns where the rest begins."""
        if self._kind == "octet":
            end = min(pos + self._left, len(data))
            self._hold(data, pos, end)
            self._left -= end - pos
            if self._left == 0:
                self._finish(b"", messages)
            return end
        if self._kind == "line":
            match = self._line_end.search(data, pos)
            if match is None:
                self._hold(data, pos, len(data))
                return len(data)
            self._hold(data, pos, match.start())
            self._finish(match[0], messages)
            return match.end()
        return pos

    def _hold(self, data: bytes, pos: int, end: int) -> None:
        room = 0 if self._given else self._message_max + HOLD_EXTRA - len(self._held)
        kept = min(end, pos + room)
        self._held += data[pos:kept]
        self._passed += end - kept
        self._last = (self._last + data[max(pos, end - 2) : end])[-2:]

    def _finish(self, terminator: bytes, messages: list[bytes]) -> None:
        counts = self._counts
        size = len(self._held) + self._passed - self._ending()
        if self._given:
            # A CRLF in a counted frame may have been cut through; then nothing is missing.
            counts.truncated_octets += max(0, size)
            counts.skipped_octets += max(0, size)
        elif size == 0:
            counts.empty += 1
        else:
            message = clip(bytes(self._held[:size]), self._message_max)
            messages.append(message)
            self._count_message(terminator)
            if size > self._message_max:
                counts.truncated += 1
                counts.truncated_octets += size - len(message)
        self._open("")

    def _ending(self) -> int:
        """How many octets at the end of the frame are framing (a terminator is not held)."""
        if self._kind == "octet":
            return counting.ending(self._last)
        return int(self._last.endswith(b"\r") and self._framing != "nul")

    def _count_message(self, terminator: bytes) -> None:
        if self._kind == "octet":
            self._counts.octet += 1
        elif terminator == b"\0":
            self._counts.nul += 1
        else:
            self._counts.line += 1


def _nul_lines(text: bytes) -> int:
    """How many lines with text end with NUL rather than LF."""
    return sum(1 for piece in text.split(b"\0")[:-1] if piece and not piece.endswith(b"\n"))
