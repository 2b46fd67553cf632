"""Whose turn it is: connections that may have something to say, fairly by address.

Addresses take turns of so many octets, and the connections of an address share its turns: who has
many connections gets no more than who has one.
"""

from collections import OrderedDict

from relay.core.streams import Stream

Streams = OrderedDict[Stream, None]


class Rota:
    """Who was served goes to the end of its address, and an address that has had its share, too.

    Who was not served is in front when it goes on. Invariant: each connection is there once, and no
    address without one.
    """

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, Streams] = OrderedDict()
        self._connections = 0
        self._turn = ""  # the address whose turn it is
        self._left = 0  # octets that it may still bring in this turn

    def __len__(self) -> int:
        """How many connections wait for their turn."""
        return self._connections

    def __contains__(self, stream: Stream) -> bool:
        return stream in self._addresses.get(stream.group, ())

    def contested(self, stream: Stream) -> bool:
        """Whether somebody of another address waits, too."""
        return len(self._addresses) > (stream.group in self._addresses)

    def add(self, stream: Stream) -> bool:
        """Behind all others of its address; False if it is there already."""
        streams = self._addresses.get(stream.group)
        if streams is None:
            streams = self._addresses[stream.group] = OrderedDict()
        if stream in streams:
            return False
        streams[stream] = None
        self._connections += 1
        return True

    def resume(self, stream: Stream) -> None:
        """Who was next was interrupted: it still is."""
        self.add(stream)
        self._addresses[stream.group].move_to_end(stream, last=False)
        self._addresses.move_to_end(stream.group, last=False)

    def discard(self, stream: Stream) -> None:
        """Take it out, if it is there."""
        if stream in self:
            self._take(self._addresses[stream.group], stream)

    def pop(self, share: int) -> tuple[Stream, int]:
        """Take out who is next, and how many octets it may bring; there must be somebody.

        An address whose turn begins has this `share` of octets in it.
        """
        address, streams = next(iter(self._addresses.items()))
        if address != self._turn:
            self._turn, self._left = address, share
        stream = next(iter(streams))
        self._take(streams, stream)
        return stream, self._left

    def charge(self, stream: Stream, octets: int) -> bool:
        """This one, who was next, has brought so many. Returns whether its address's turn is over.

        That is so with the last of its share.
        """
        self._left -= octets
        if self._left > 0:
            return False
        self._turn = ""
        if stream.group in self._addresses:
            self._addresses.move_to_end(stream.group)
        return True

    def _take(self, streams: Streams, stream: Stream) -> None:
        del streams[stream]
        self._connections -= 1
        if not streams:
            del self._addresses[stream.group]
