"""The configuration: TOML text to a validated, frozen `Config`, all errors at once."""

from relay.config.errors import ConfigError, ConfigErrors
from relay.config.load import load
from relay.config.model import Config

__all__ = ["Config", "ConfigError", "ConfigErrors", "load"]
