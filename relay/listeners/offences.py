"""Telling of connections that were refused or ended, once for each peer, cause and episode."""

import logging
from dataclasses import dataclass, field

log = logging.getLogger("relay.listener")

QUIET_SECONDS = 600.0  # an episode ends after so long; senders try again every minute or so
NAMED_MAX = 16  # peers told of by name at a time, for each cause
MORE_MAX = 500  # characters

OTHERS = ""  # stands for the peers beyond


@dataclass(slots=True, eq=False, repr=False)
class _Episode:
    """Of one kind."""

    began: float
    last: float
    times: int = 1


@dataclass(slots=True, eq=False, repr=False)
class Offences:
    """The first of an episode is told at once, and when it is over how many there were.

    Anyone who may connect can do it without end; a line for each would let a peer fill our log.
    Invariant: at most `NAMED_MAX` peers, and one entry for the others, are kept for each cause.
    """

    listener: str
    _episodes: dict[str, dict[str, _Episode]] = field(default_factory=dict)  # by cause and peer

    def note(self, peer: str, what: str, now: float, more: str = "") -> None:
        """What became of a connection, and why: one of a few texts such as `refused: not allowed`.

        A connection of a peer that is named already, or of one too many, is only counted. `more` is
        of this one, and may be any text: the line about it has the beginning.
        """
        episodes = self._episodes.setdefault(what, {})
        if peer not in episodes and len(episodes) >= NAMED_MAX:
            peer = OTHERS
        episode = episodes.get(peer)
        if episode is not None:
            episode.times += 1
            episode.last = now
            return
        episodes[peer] = _Episode(now, now)
        if more:
            what = f"{what}: {more[:MORE_MAX]}"
        if peer == OTHERS:
            log.warning("listener %s: connections from others, too, %s", self.listener, what)
        else:
            log.warning("listener %s: connection from %s %s", self.listener, peer, what)

    def due(self, now: float) -> None:
        """Tell whose episode is over. Once a second."""
        for what, episodes in list(self._episodes.items()):
            for peer, episode in list(episodes.items()):
                if now - episode.last >= QUIET_SECONDS:
                    del episodes[peer]
                    self._tell(peer, what, episode)
            if not episodes:
                del self._episodes[what]

    def tell(self) -> None:
        """The end: tell all that has not been told."""
        for what, episodes in self._episodes.items():
            for peer, episode in episodes.items():
                self._tell(peer, what, episode)
        self._episodes.clear()

    def _tell(self, peer: str, what: str, episode: _Episode) -> None:
        if episode.times > 1:
            log.warning("listener %s: %d connections from %s within %.0f s %s", self.listener,
                        episode.times, peer or "others", episode.last - episode.began,
                        what)  # fmt: skip
