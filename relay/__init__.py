"""Relay: a syslog relay that never loses a message without saying so."""

from importlib.metadata import version

__version__ = version("syslog-relay")
