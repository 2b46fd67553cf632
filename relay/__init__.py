"""Relay: a syslog relay that never loses a message without saying so."""

# As in pyproject.toml. To ask what is installed would take 2 ms of each start.
__version__ = "0.1.0"
