"""Relay: a syslog relay that never loses a message without saying so."""

__version__ = "0.1.0"
