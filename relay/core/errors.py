"""The exceptions of Relay. Malformed input is none: it is a message whose header says less."""

import math


class DestinationDown(Exception):
    """The destination does not take messages now; what was lent is kept and tried again."""

    pause_max = math.inf  # seconds; the next try comes no later


class DestinationAway(DestinationDown):
    """Nobody is there to take messages, which is no fault; to look again costs next to nothing."""

    pause_max = 1.0


class DestinationRefused(Exception):
    """The destination will never take this; the message at the head is dropped as `refused`."""
