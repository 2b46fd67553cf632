"""The exceptions of Relay. Malformed input is none: it is a message whose header says less."""


class DestinationDown(Exception):
    """The destination does not take messages now; what was lent is kept and tried again."""


class DestinationRefused(Exception):
    """The destination will never take this; the message at the head is dropped as `refused`."""
